# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases of sandbox_state for both generations of gVisor, and what must hold for runsc (safety.md D1)."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.faults.harness import Case
from ansible_collections.sandboxed.containers.tests.faults.rules import Invariant, Observed
from ansible_collections.sandboxed.containers.tests.faults.running import Task
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT, Tree

LAYOUTS = ("gvisor", "gvisor_legacy")
# What runsc takes for a state: it searches for this, so that hidden names match too (gvisor.md G9).
_LISTED = {"gvisor": r"([\w+\-.]+)_sandbox:([\w+\-.]+)\.state$", "gvisor_legacy": r"([\w+\-.]+)\.state$"}


def document(root: Path | str, sandbox_id: str, container_id: str = "", status: str = "stopped") -> dict[str, Any]:
    """A state of a container whose processes are gone."""
    container_id = container_id or sandbox_id
    return {
        "id": container_id,
        "status": status,
        "bundleDir": f"{root}/bundles/{container_id}",
        "spec": {"ociVersion": "1.0.0", "root": {"path": "rootfs"}, "annotations": {"note": "ü <&> " + "x" * 9000}},
        "goferPid": 0,
        "sandbox": {"id": sandbox_id, "pid": 0},
    }


def wish(layout: str, sandbox_id: str = "fault-1", container_id: str = "", **more: Any) -> dict[str, Any]:
    """An entry of the option sandboxes. more: further options of it."""
    assert layout in LAYOUTS
    inside = {"container_id": container_id} if container_id else {}
    return {
        "sandbox_id": sandbox_id,
        **inside,
        "documents": {"state": document(ROOT, sandbox_id, container_id)},
        **more,
    }


class Host:
    """The tree that a case starts from: a runtime's root directory, bundles, and things that are nobody's business."""

    def __init__(self, root: Path, layout: str) -> None:
        self.root = root
        self.run_root = root / "run"
        self.layout = layout

    def file(self, kind: str, sandbox_id: str, container_id: str = "") -> Path:
        """The path of a state or lock."""
        container_id = container_id or sandbox_id
        stem = f"{container_id}_sandbox:{sandbox_id}" if self.layout == "gvisor" else container_id
        return self.run_root / f"{stem}.{kind}"

    def temporary(self, sandbox_id: str, container_id: str = "") -> Path:
        """Where a writer that crashed leaves what it had written."""
        return self.run_root / f".{self.file('state', sandbox_id, container_id).name}.sbx-tmp"

    def lock(self, sandbox_id: str, container_id: str = "") -> None:
        """Make a lock file."""
        self._make(self.file("lock", sandbox_id, container_id), "", 0o600)

    def state(self, sandbox_id: str, container_id: str = "") -> Path:
        """Make a state."""
        text = json.dumps(document(self.root, sandbox_id, container_id), separators=(",", ":"))
        return self._make(self.file("state", sandbox_id, container_id), text, 0o640)

    def container(self, sandbox_id: str, container_id: str = "") -> None:
        """Make a container with its state, lock, filestore and, for the sandbox's own one, the control socket."""
        self.lock(sandbox_id, container_id)
        self.state(sandbox_id, container_id)
        rootfs = self.root / "bundles" / (container_id or sandbox_id) / "rootfs"
        self._make(rootfs / f".gvisor.filestore.{sandbox_id}", "pages", 0o644)
        self._make(rootfs / "data", "kept", 0o644)
        if not container_id:
            os.mknod(self.run_root / f"runsc-{sandbox_id}.sock", stat.S_IFSOCK | 0o755)

    def bystanders(self) -> None:
        """Another sandbox of a similar name, and files that are no state."""
        self.container("fault-10")
        self._make(self.run_root / "README", "not ours", 0o644)
        self._make(self.run_root / ".fault-1.swp", "not ours", 0o644)
        (self.run_root / "link.state").symlink_to("README")

    def _make(self, path: Path, text: str, mode: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path


# The starting trees, by case. Each is called with bystanders in place.


def nothing(_host: Host) -> None:
    """There is nothing of the sandbox."""


def whole(host: Host) -> None:
    host.container("fault-1")


def odd(host: Host) -> None:
    """A state with another owner and mode and an extended attribute, all of which an update keeps."""
    host.lock("fault-1")
    state = host.state("fault-1")
    state.chmod(0o604)
    os.chown(state, 1234, 4321)
    os.setxattr(state, "user.note", b"kept")


def lock_only(host: Host) -> None:
    host.lock("fault-1")


def state_only(host: Host) -> None:
    host.state("fault-1")


def crashed_writer(host: Host) -> None:
    host.lock("fault-1")
    host.temporary("fault-1").write_text('{"id": "we', encoding="utf-8")


def crashed_update(host: Host) -> None:
    crashed_writer(host)
    host.state("fault-1")


def torn(host: Host) -> None:
    """A state that runsc wrote in part, before it was killed."""
    host.lock("fault-1")
    host.state("fault-1").write_text('{"id": "fault-1", "stat', encoding="utf-8")


def pod(host: Host) -> None:
    host.container("fault-1")
    for name in ("app", "sidecar"):
        host.container("fault-1", name)


def three(host: Host) -> None:
    for number in (1, 2, 3):
        host.container(f"fault-{number}")


_SAME = {"state": document(ROOT, "fault-1")}
_NEW = {"state": {**document(ROOT, "fault-1"), "status": "running", "owner": "y" * 20_000}}
PLAIN_UPDATE = "update over a crashed writer"
_THREE = ["fault-1", "fault-2", "fault-3"]
_PRESENT: dict[str, tuple[Callable[[Host], None], dict[str, Any]]] = {
    "create": (nothing, {"sandbox_id": "fault-1", "documents": _SAME}),
    "create over a lock": (lock_only, {"sandbox_id": "fault-1", "documents": _SAME}),
    "create over a crashed writer": (crashed_writer, {"sandbox_id": "fault-1", "documents": _SAME}),
    "create three": (
        nothing,
        {"sandboxes": [wish("gvisor", one) for one in _THREE]},
    ),
    "update": (odd, {"sandbox_id": "fault-1", "documents": _NEW}),
    "update over a crashed writer": (crashed_update, {"sandbox_id": "fault-1", "documents": _NEW}),
    "update of a torn state": (torn, {"sandbox_id": "fault-1", "documents": _NEW}),
    "update without a lock": (state_only, {"sandbox_id": "fault-1", "documents": _NEW}),
    "completion": (state_only, {"sandbox_id": "fault-1", "documents": _SAME}),
}
_ABSENT: dict[str, tuple[Callable[[Host], None], dict[str, Any]]] = {
    "delete": (whole, {"sandbox_id": "fault-1"}),
    "delete of a container": (pod, {"sandbox_id": "fault-1", "container_id": "app"}),
    "delete of a pod": (pod, {"sandbox_id": "fault-1"}),
    "delete of a lock": (lock_only, {"sandbox_id": "fault-1"}),
    "delete of a state": (state_only, {"sandbox_id": "fault-1"}),
    "delete of a crashed writer's": (crashed_update, {"sandbox_id": "fault-1"}),
    "delete of a torn state": (torn, {"sandbox_id": "fault-1"}),
    "delete of three": (three, {"sandbox_id": _THREE}),
}

_MANY = [f"many-{number}" for number in range(101)]  # more than have a diff of their own
_QUIET: dict[str, tuple[str, Callable[[Host], None], dict[str, Any]]] = {
    "is as it should be": ("present", whole, {"sandbox_id": "fault-1", "documents": _SAME}),
    "is there and nothing else is wished": ("present", whole, {"sandbox_id": "fault-1"}),
    "is torn and nothing is given for it": ("present", torn, {"sandbox_id": "fault-1"}),
    "is gone": ("absent", nothing, {"sandbox_id": "fault-1"}),
    "one of three is gone": ("absent", whole, {"sandbox_id": _THREE}),
    "an empty list": ("absent", whole, {"sandbox_id": []}),
    "exists already": ("present", whole, {"sandbox_id": "fault-1", "documents": _SAME, "fail_if_exists": True}),
    "nothing to make it from": ("present", nothing, {"sandbox_id": "fault-1"}),
    "of another id": ("present", whole, {"sandbox_id": "fault-1", "documents": {"state": document(ROOT, "fault-2")}}),
    "not proved dead": ("absent", whole, {"sandbox_id": "fault-1", "sees_all_processes": False}),
    "not proved dead, with force": (
        "absent",
        whole,
        {"sandbox_id": "fault-1", "sees_all_processes": False, "force": True},
    ),
    "a hundred and one": (
        "present",
        nothing,
        {"sandboxes": [wish("gvisor", one) for one in _MANY]},
    ),
}


def common(layout: str) -> dict[str, Any]:
    """The options of every task."""
    # Owners are another test's subject: what runs on this host makes no difference here. So are the names: no other
    # test has a sandbox that is called so.
    return {"layout": layout, "run_root": f"{ROOT}/run", "sees_all_processes": True}


def reader(layout: str) -> Task:
    """The task that looks at everything."""
    return Task("sandbox_state_info", {**common(layout), "with_documents": True})


def _case(layout: str, name: str, state: str, start: Callable[[Host], None], options: dict[str, Any]) -> Case:
    def prepare(root: Path) -> None:
        host = Host(root, layout)
        host.bystanders()
        start(host)

    task = Task("sandbox_state", {**common(layout), "state": state, **options})
    # A lock says of which pod it is while its state goes: nothing else would, in this layout (safety.md D1).
    marks = {f"run/{name}.lock": b"fault-1\n" for name in ("app", "sidecar")} if layout == "gvisor_legacy" else {}
    return Case(f"{layout} {name}", task, prepare, invariants(layout), reader(layout), marks)


def cases(layout: str) -> Iterator[Case]:
    """All cases of a layout."""
    for state, table in (("present", _PRESENT), ("absent", _ABSENT)):
        for name, (start, options) in table.items():
            yield _case(layout, name, state, start, options)
    options = {**_PRESENT["create"][1], "run_root": f"{ROOT}/var/lib/runsc"}
    task = Task("sandbox_state", {**common(layout), "state": "present", **options})
    yield Case(f"{layout} create with its root", task, lambda root: None, invariants(layout), reader(layout))


def quiet_cases(layout: str) -> Iterator[Case]:
    """Where nothing is to be done, or something is refused."""
    for name, (state, start, options) in _QUIET.items():
        yield _case(layout, name, state, start, options)


# What must hold.


def invariants(layout: str) -> dict[str, Invariant]:
    """The table of a layout."""

    def listed_names_are_objects(seen: Observed) -> None:
        """runsc lists nothing but what was there or is to be there: no half name."""
        listed = {path for path in seen.after if re.search(_LISTED[layout], path)}
        assert not (half := listed - seen.before.keys() - seen.wanted.keys()), f"runsc would list {sorted(half)}"

    return {
        "runsc lists objects alone": listed_names_are_objects,
        "a state has its lock": a_state_has_its_lock,
        "the state goes after what it leads to": the_state_goes_last,
        "an error leaves the old document": an_error_leaves_the_old_one,
    }


def _states(tree: Tree) -> set[str]:
    return {path for path, entry in tree.items() if path.endswith(".state") and stat.S_ISREG(entry.mode)}


def _sandbox_of(seen: Observed, path: str) -> str:
    """The sandbox of a state's path, from what was or is to be in it."""
    for tree in (seen.wanted, seen.before):
        try:
            return str(json.loads(tree[path].content)["sandbox"]["id"])
        except (KeyError, ValueError):
            continue
    return "fault-1"  # a torn state


def a_state_has_its_lock(seen: Observed) -> None:
    """A state is made after its lock and removed before it, so that whoever finds the state finds the lock."""
    for path in _states(seen.after):
        lock = path[: -len("state")] + "lock"
        needed = lock in seen.before or path not in seen.before
        assert lock in seen.after or not needed, f"{path} has no lock"


def the_state_goes_last(seen: Observed) -> None:
    """The state alone says where a filestore lies: while one is there that is to go, so is a state."""
    going = seen.before.keys() - seen.wanted.keys()
    for path in _states(seen.before) & going - seen.after.keys():
        name = _sandbox_of(seen, path)
        left = [one for one in going & seen.after.keys() if one.endswith((f".filestore.{name}", f"runsc-{name}.sock"))]
        assert not left, f"{path} went before {left}"


def an_error_leaves_the_old_one(seen: Observed) -> None:
    """What failed before the commit point, the rename or unlink of the state, has changed no document (promise 2)."""
    if seen.point.kills or seen.ended.answer is None:
        return
    failed = {one["sandbox_id"] for one in seen.ended.answer.get("sandboxes", []) if one["action"] == "failed"}
    for path in _states(seen.before) | _states(seen.wanted):
        committed = seen.made("rename", path) or seen.made("unlink", path)
        if _sandbox_of(seen, path) in failed and not committed:
            assert seen.after.get(path) == seen.before.get(path), f"{path} changed although it failed"
