# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases of sandbox_state for the three generations of Kata (safety.md D1; what must hold: kata_rules.py)."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.faults import kata_rules
from ansible_collections.sandboxed.containers.tests.faults.harness import Case
from ansible_collections.sandboxed.containers.tests.faults.kata_rules import TREES
from ansible_collections.sandboxed.containers.tests.faults.running import Task
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT

LAYOUTS = tuple(TREES)
_MODES = {"kata_store": (0o750, 0o644), "kata_persist": (0o700, 0o600), "kata_rs": (0o750, 0o644)}
_TOMBSTONE = ".sbx-del.{}.0123456789abcdef"
_NOTE = "ü <&> " + "x" * 9000


def documents(layout: str, sandbox_id: str, container_id: str = "", status: str = "stopped") -> dict[str, Any]:
    """The documents of a sandbox, or of a container in it, whose processes are gone."""
    if layout == "kata_rs":
        return {"state": {"sandbox_type": _NOTE, "hypervisor": {"id": sandbox_id, "pid": None}, "status": status}}
    if layout == "kata_persist":
        own = {"SandboxContainer": sandbox_id, "HypervisorState": {"Type": "qemu", "Pid": 0}}
        inner = {"Process": {"Pid": 0}, "Mounts": None}
        return {"persist": {"State": status, **(inner if container_id else own), "Note": _NOTE}}
    config = {"ID": container_id or sandbox_id, "Annotations": {"note": _NOTE}}
    if container_id:
        return {"config": config, "state": {"state": status}, "process": {"Token": "t", "Pid": 0}, "mounts": []}
    return {"config": config, "state": {"state": status, "blockIndex": 2}, "devices": []}


def wish(layout: str, sandbox_id: str = "fault-1", container_id: str = "", **more: Any) -> dict[str, Any]:
    """An entry of the option sandboxes. more: further options of it."""
    inside = {"container_id": container_id} if container_id else {}
    return {"sandbox_id": sandbox_id, **inside, "documents": documents(layout, sandbox_id, container_id), **more}


class Host:
    """The tree that a case starts from: the host's own directories, sandboxes, and what is nobody's business."""

    def __init__(self, root: Path, layout: str) -> None:
        self.root = root
        self.layout = layout
        self.directory_mode, self.file_mode = _MODES[layout]

    def tree(self, role: str, *names: str) -> Path:
        """A path in one of the trees: config or state."""
        return self.root.joinpath(TREES[self.layout][role], *names)

    @property
    def run(self) -> Path:
        """What lies beside the state tree: /run/vc, or /run for the Rust runtime."""
        return self.tree("state").parent

    def sandbox(self, sandbox_id: str, *containers: str) -> None:
        """A whole sandbox with containers in it."""
        for container_id in ("", *containers):
            inside = [container_id] if container_id else []
            for role in TREES[self.layout]:
                self.level(role, sandbox_id, *inside)
            for name, content in documents(self.layout, sandbox_id, container_id).items():
                role = "config" if name == "config" else "state"
                self.write(self.tree(role, sandbox_id, *inside, f"{name}.json"), json.dumps(content))

    def level(self, role: str, *names: str) -> Path:
        """The directory of a sandbox or container in one tree, with what is in it beside documents."""
        folder = self.folder(self.tree(role, *names))
        if self.layout == "kata_store":
            self.folder(folder / "raw")
            self.write(folder / "lock", "")
        return folder

    def tombstone(self, name: str, role: str = "state") -> None:
        """What a killed delete, or a killed creation, has left."""
        hidden = self.folder(self.tree(role).parent / _TOMBSTONE.format(name))
        self.write(hidden / "state.json", '{"half')
        self.write(self.folder(hidden / "app") / "raw", "")

    def surroundings(self, sandbox_id: str) -> None:
        """What belongs to it elsewhere: its machine's directory with what a dead one leaves, and the shared tree."""
        share = self.root / "run/kata-containers/shared/sandboxes" / sandbox_id
        self.write(self.folder(share / "mounts" / "app" / "rootfs") / "file", "left")
        (share / "mounts" / "outside").symlink_to(self.root / "data")
        if self.layout == "kata_rs":
            os.mknod(self.folder(self.tree("state", sandbox_id, "root")) / "kata.hvsock", stat.S_IFSOCK | 0o755)
            return
        machine = self.folder(self.run / "vm" / sandbox_id)
        self.write(machine / "pid", "0\n")
        os.mknod(machine / "qmp.sock", stat.S_IFSOCK | 0o755)

    def linked_machine(self, sandbox_id: str) -> None:
        """A machine that a factory made: its directory, which is no part of the sandbox, is linked to (R6)."""
        self.write(self.folder(self.run / "vm" / "vm-7") / "memory", "a factory's")
        (self.run / "vm" / sandbox_id).symlink_to("vm-7")

    def bystanders(self) -> None:
        """Another sandbox of a similar name, its tombstone, and what is no sandbox."""
        self.sandbox("fault-10", "app")
        self.tombstone("fault-10")
        self.write(self.tree("state", "README"), "not ours")
        self.folder(self.tree("state", ".hidden"))
        self.write(self.folder(self.root / "data") / "kept", "data")
        self.write(self.folder(self.run / "vm" / "template") / "memory", "a factory's")

    def folder(self, path: Path) -> Path:
        """Make a directory, and those above it."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(self.directory_mode)
        return path

    def write(self, path: Path, text: str) -> None:
        """Make a file."""
        path.write_text(text, encoding="utf-8")
        path.chmod(self.file_mode)


# The starting trees. Each is called with bystanders in place.


def nothing(_host: Host) -> None:
    """There is nothing of the sandbox."""


def whole(host: Host) -> None:
    """With a container, where the layout has any, and things that nobody knows."""
    host.sandbox("fault-1", *([] if host.layout == "kata_rs" else ["app"]))
    host.write(host.folder(host.tree("state", "fault-1", "odd", "deep")) / "file", "unknown")
    host.tree("state", "fault-1", "outside").symlink_to(host.root / "data")


def bare(host: Host) -> None:
    host.sandbox("fault-1")


def pod(host: Host) -> None:
    host.sandbox("fault-1", "app", "sidecar")


def odd(host: Host) -> None:
    """A document with another owner and mode and an extended attribute, all of which an update keeps."""
    bare(host)
    (document,) = (path for path in host.tree("state", "fault-1").glob("*st*.json"))
    document.chmod(0o604)
    os.chown(document, 1234, 4321)
    os.setxattr(document, "user.note", b"kept")


def torn(host: Host) -> None:
    """A document that the runtime wrote in part, before it was killed (K3, P2, RS4)."""
    bare(host)
    (document,) = (path for path in host.tree("state", "fault-1").glob("*st*.json"))
    host.write(document, '{"State": "stop')


def crashed_update(host: Host) -> None:
    """A temporary that a writer of ours left."""
    bare(host)
    (document,) = (path for path in host.tree("state", "fault-1").glob("*st*.json"))
    host.write(document.with_name(f".{document.name}.sbx-tmp"), '{"half')


def crashed_delete(host: Host) -> None:
    for role in TREES[host.layout]:
        host.tombstone("fault-1", role)


def crashed_delete_of_old(host: Host) -> None:
    """A tombstone of the old sandbox, and a new one of the same name."""
    crashed_delete(host)
    bare(host)


def crashed_delete_of_container(host: Host) -> None:
    host.sandbox("fault-1", "sidecar")
    for role in TREES[host.layout]:
        host.tombstone("fault-1", role)


def no_lock(host: Host) -> None:
    """K1: what a crash between the directory and the lock leaves."""
    bare(host)
    for role in TREES[host.layout]:
        host.tree(role, "fault-1", "lock").unlink()
        host.tree(role, "fault-1", "raw").rmdir()


def no_config(host: Host) -> None:
    """K12: the runtime's own delete was killed after the configuration tree."""
    bare(host)
    shutil.rmtree(host.tree("config", "fault-1"))


def config_only(host: Host) -> None:
    """A reboot: all below /run is gone."""
    bare(host)
    shutil.rmtree(host.tree("state", "fault-1"))


def residue(host: Host) -> None:
    """K2: what a mere status query of the runtime leaves; an empty directory in the others."""
    for role in TREES[host.layout]:
        host.level(role, "fault-1")


def a_file(host: Host) -> None:
    """Something else in the place of a sandbox."""
    host.write(host.tree("state", "fault-1"), "")


def a_link(host: Host) -> None:
    host.tree("state", "fault-1").symlink_to(host.root / "data")


def surrounded(host: Host) -> None:
    bare(host)
    host.surroundings("fault-1")


def linked(host: Host) -> None:
    bare(host)
    host.linked_machine("fault-1")


def surroundings_only(host: Host) -> None:
    host.surroundings("fault-1")


def three(host: Host) -> None:
    for number in (1, 2, 3):
        host.sandbox(f"fault-{number}")


def many(host: Host) -> None:
    for name in _MANY:
        host.sandbox(name)


_THREE = ["fault-1", "fault-2", "fault-3"]
_MANY = [f"many-{number}" for number in range(101)]  # more than have a diff of their own
PLAIN_UPDATE = "update after a crash"
_GO = ("kata_store", "kata_persist")
_STORE = ("kata_store",)


class Row(NamedTuple):
    """One case in some layouts. options: from the layout's name."""

    name: str
    state: str
    start: Callable[[Host], None]
    options: Callable[[str], dict[str, Any]]
    layouts: tuple[str, ...] = LAYOUTS


def _one(layout: str) -> dict[str, Any]:
    return wish(layout)


def _changed(layout: str) -> dict[str, Any]:
    return wish(layout, documents=documents(layout, "fault-1", status="running"))


def _inner(layout: str) -> dict[str, Any]:
    return wish(layout, "fault-1", "app")


def _pod(layout: str) -> dict[str, Any]:
    return {"sandboxes": [wish(layout), wish(layout, "fault-1", "app")]}


def _all_three(layout: str) -> dict[str, Any]:
    return {"sandboxes": [wish(layout, name) for name in _THREE]}


def _raw(layout: str) -> dict[str, Any]:
    return wish(layout, raw_items={"note": "text", "": "made up"})


def _delete(_layout: str) -> dict[str, Any]:
    return {"sandbox_id": "fault-1"}


def _force(_layout: str) -> dict[str, Any]:
    """What is no sandbox's directory has an unknown owner."""
    return {"sandbox_id": "fault-1", "force": True}


def _delete_inner(_layout: str) -> dict[str, Any]:
    return {"sandbox_id": "fault-1", "container_id": "app"}


def _delete_three(_layout: str) -> dict[str, Any]:
    return {"sandbox_id": _THREE}


_ROWS = (
    Row("create", "present", nothing, _one),
    Row("create with a container", "present", nothing, _pod, _GO),
    Row("create with raw items", "present", nothing, _raw, _STORE),
    Row("create of a container", "present", bare, _inner, _GO),
    Row("create three", "present", nothing, _all_three),
    Row("create after a crash", "present", crashed_delete, _one),
    Row("create of a container after a crash", "present", crashed_delete_of_container, _inner, _GO),
    Row("raw items added", "present", bare, _raw, _STORE),
    Row("update", "present", odd, _changed),
    Row("update of a torn document", "present", torn, _one),
    Row("update after a crash", "present", crashed_update, _changed),
    Row("completion of an empty one", "present", residue, _one),
    Row("completion without lock and raw", "present", no_lock, _one, _STORE),
    Row("completion without configuration", "present", no_config, _one, _STORE),
    Row("completion after a reboot", "present", config_only, _one, _STORE),
    Row("delete", "absent", whole, _delete),
    Row("delete of a container", "absent", pod, _delete_inner, _GO),
    Row("delete of three", "absent", three, _delete_three),
    Row("delete after a crash", "absent", crashed_delete, _delete),
    Row("delete of another one after a crash", "absent", crashed_delete_of_old, _delete),
    Row("delete of a container after a crash", "absent", crashed_delete_of_container, _delete_inner, _GO),
    Row("delete of a torn document", "absent", torn, _delete),
    Row("delete after a crashed update", "absent", crashed_update, _delete),
    Row("delete of an empty one", "absent", residue, _delete),
    Row("delete without lock and raw", "absent", no_lock, _delete, _STORE),
    Row("delete without configuration", "absent", no_config, _delete, _STORE),
    Row("delete after a reboot", "absent", config_only, _delete, _STORE),
    Row("delete of a file", "absent", a_file, _force),
    Row("delete of a link", "absent", a_link, _force),
    Row("delete with all that belongs to it", "absent", surrounded, _delete),
    Row("delete with a factory's machine", "absent", linked, _delete, _GO),
    Row("delete of what belonged to it", "absent", surroundings_only, _delete),
)


_QUIET_ROWS = (
    Row("is as it should be", "present", whole, _one),
    Row("is there and nothing else is wished", "present", whole, _delete),
    Row("is torn and nothing is given for it", "present", torn, _delete),
    Row("a pod of which one part is there", "present", bare, _pod, _GO),
    Row("is gone", "absent", nothing, _delete),
    Row("one of three is gone", "absent", whole, _delete_three),
    Row("an empty list", "absent", whole, lambda layout: {"sandbox_id": []}),
    Row("exists already", "present", whole, lambda layout: wish(layout, fail_if_exists=True)),
    Row("one of three exists already", "present", bare, lambda layout: {**_all_three(layout), "fail_if_exists": True}),
    Row("nothing to make it from", "present", nothing, _delete),
    Row("a container without its sandbox", "present", nothing, _inner, _GO),
    Row("of another id", "present", bare, lambda layout: wish(layout, documents=documents(layout, "fault-2"))),
    Row("not proved dead", "absent", whole, lambda layout: {"sandbox_id": "fault-1", "sees_all_processes": False}),
    Row("not proved dead, with force", "absent", whole, lambda layout: {**_force(layout), "sees_all_processes": False}),
    Row("one of three is a file", "absent", a_file, _delete_three),
    Row("a hundred and one", "present", nothing, lambda layout: {"sandboxes": [wish(layout, one) for one in _MANY]}),
    Row("a hundred and one go", "absent", many, lambda layout: {"sandbox_id": _MANY}),
)


def _case(layout: str, row: Row) -> Case:
    def prepare(root: Path) -> None:
        host = Host(root, layout)
        host.bystanders()
        row.start(host)

    task = Task("sandbox_state", {**common(layout), "state": row.state, **row.options(layout)})
    return Case(f"{layout} {row.name}", task, prepare, kata_rules.invariants(layout), reader(layout))


def common(layout: str) -> dict[str, Any]:
    """The options of every task."""
    # As in gvisor.py: who owns what is another test's subject.
    return {"layout": layout, "host_root": ROOT, "sees_all_processes": True}


def reader(layout: str) -> Task:
    """The task that looks at everything."""
    return Task("sandbox_state_info", {**common(layout), "with_documents": True})


def cases(layout: str) -> Iterator[Case]:
    """All cases of a layout."""
    yield from (_case(layout, row) for row in _ROWS if layout in row.layouts)
    task = Task("sandbox_state", {**common(layout), "state": "present", **_one(layout)})
    invariants = kata_rules.invariants(layout)
    yield Case(f"{layout} create with its root", task, lambda root: None, invariants, reader(layout))


def quiet_cases(layout: str) -> Iterator[Case]:
    """Where nothing is to be done, or something is refused."""
    yield from (_case(layout, row) for row in _QUIET_ROWS if layout in row.layouts)
