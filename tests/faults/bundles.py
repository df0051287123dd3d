# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases of container_bundle (safety.md D1), and what must hold for containerd, which reads the same directories."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.faults.harness import Case
from ansible_collections.sandboxed.containers.tests.faults.rules import Invariant, Observed
from ansible_collections.sandboxed.containers.tests.faults.running import Task
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT

INSIDE = {
    "containerd_v2": "io.containerd.runtime.v2.task",
    "containerd_v1": "io.containerd.runtime.v1.linux",
    "oci": "",
}
LAYOUTS = tuple(INSIDE)
_NOTE = "ü <&> " + "x" * 9000
_SOCKET = "a" * 64


def spec(**more: Any) -> dict[str, Any]:
    """A spec that every runtime takes."""
    process = {"args": ["/bin/true"], "cwd": "/", "env": ["A=b"]}
    return {"ociVersion": "1.0.2", "process": process, "root": {"path": "rootfs"}, "annotations": {"n": _NOTE}, **more}


class Host:
    """The tree that a case starts from: bundles, work directories, and what is nobody's business."""

    def __init__(self, root: Path, layout: str) -> None:
        self.root = root
        self.layout = layout

    def state(self, *names: str) -> Path:
        """A path below the directory of the bundles."""
        if self.layout == "oci":
            return self.root.joinpath("bundles", *names)
        return self.root.joinpath("run/containerd", INSIDE[self.layout], "default", *names)

    def work(self, *names: str) -> Path:
        """A path below that of the work directories."""
        return self.root.joinpath("var/lib/containerd", INSIDE[self.layout], "default", *names)

    def bundle(self, name: str = "fault-1") -> Path:
        """A whole bundle of a dead container."""
        folder = self.state(name)
        (folder / "rootfs").mkdir(parents=True)
        folder.chmod(0o700)
        (folder / "rootfs").chmod(0o711)
        self.write(folder / "config.json", json.dumps(spec()))
        if self.layout != "oci":
            self.write(folder / "address", f"unix:///run/containerd/s/{_SOCKET}")
            self.write(folder / "init.pid", "4194999")
            self.write(self.work(name) / "log", "text")
            self.work(name).chmod(0o711)
        if self.layout == "containerd_v2":
            (folder / "work").symlink_to(f"{ROOT}/{self.work(name).relative_to(self.root)}")
        return folder

    def bystanders(self) -> None:
        """Another bundle of a similar name, rests of it, and what is no bundle."""
        self.bundle("fault-10")
        self.write(self.state(".fault-10.0123456789abcdef") / "config.json", "{")
        self.write(self.state(".unknown name") / "file", "not ours")
        self.write(self.root / "data" / "kept", "data")

    def write(self, path: Path, text: str) -> None:
        """Make a file and what is above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)


# The starting trees. Each is called with bystanders in place.


def nothing(_host: Host) -> None:
    """There is nothing of the container."""


def whole(host: Host) -> None:
    """With things in its root file system, and a link out of it."""
    folder = host.bundle()
    host.write(folder / "rootfs" / "odd" / "deep" / "file", "unknown")
    (folder / "rootfs" / "outside").symlink_to(host.root / "data")


def crashed_delete(host: Host) -> None:
    """A rest of ours, in both directories."""
    for place in (host.state, *([] if host.layout == "oci" else [host.work])):
        host.write(place(".fault-1.0123456789abcdef") / "inner" / "file", "rest")


def crashed_delete_of_old(host: Host) -> None:
    """A rest of the old bundle, and a new one of the same name."""
    crashed_delete(host)
    host.bundle()


def work_only(host: Host) -> None:
    """What a delete that was killed after the commit has left."""
    host.write(host.work("fault-1") / "log", "text")


def half(host: Host) -> None:
    """A bundle that lacks what a whole one has."""
    host.bundle()
    (host.state("fault-1") / "rootfs").rmdir()
    host.state("fault-1").chmod(0o755)


def socket_left(host: Host) -> None:
    """A bundle whose shim's socket is left, and which no one listens on."""
    folder = host.bundle()
    host.write(folder / "address", f"unix://{ROOT}/shim.sock")
    os.mknod(host.root / "shim.sock", stat.S_IFSOCK | 0o600)


def three(host: Host) -> None:
    for number in (1, 2, 3):
        host.bundle(f"fault-{number}")


class Row(NamedTuple):
    """One case in some layouts."""

    name: str
    state: str
    start: Callable[[Host], None]
    options: Mapping[str, Any]
    layouts: tuple[str, ...] = LAYOUTS


_ENGINES = ("containerd_v2", "containerd_v1")
_THREE = ["fault-1", "fault-2", "fault-3"]
_ONE = {"container_id": "fault-1"}
_ROWS = (
    Row("create", "present", nothing, {**_ONE, "spec": spec()}),
    Row("create after a crash", "present", crashed_delete, {**_ONE, "spec": spec()}),
    Row("update", "present", whole, {**_ONE, "spec": spec(hostname="new")}),
    Row("completion", "present", half, {**_ONE, "spec": spec()}, _ENGINES),
    Row("delete", "absent", whole, _ONE),
    Row("delete of a rest", "absent", crashed_delete, _ONE),
    Row("delete with a rest", "absent", crashed_delete_of_old, _ONE),
    Row("delete of a work directory", "absent", work_only, _ONE, _ENGINES),
    Row("delete of three", "absent", three, {"container_id": _THREE}),
    Row("create three", "present", nothing, {"bundles": [{"container_id": name, "spec": spec()} for name in _THREE]}),
)
_QUIET_ROWS = (
    Row("nothing to delete", "absent", nothing, _ONE),
    Row("nothing to write", "present", whole, {**_ONE, "spec": {**spec()}}),
    Row("refused for being there", "present", whole, {**_ONE, "spec": spec(), "fail_if_exists": True}),
    Row("refused for an old work directory", "present", work_only, {**_ONE, "spec": spec()}, _ENGINES),
    Row("a socket elsewhere is left", "absent", socket_left, _ONE, _ENGINES),
)


def invariants(layout: str) -> dict[str, Invariant]:
    """What containerd relies on."""

    def top_of(path: str) -> str:
        """The name of the bundle that a path is or lies in, empty for none."""
        start = "bundles/" if layout == "oci" else f"run/containerd/{INSIDE[layout]}/default/"
        return path[len(start) :].partition("/")[0] if path.startswith(start) else ""

    def a_bundle_is_whole_or_hidden(seen: Observed) -> None:
        """Who lists the directory finds a bundle with all that it had or will have, or does not find it (promise 3)."""
        for name in {top_of(path) for path in seen.after} - {""}:
            if name.startswith("."):
                continue
            parts = {path for path in seen.after if top_of(path) == name}
            wholes = [{path for path in tree if top_of(path) == name} for tree in (seen.before, seen.wanted)]
            between = wholes[0] and wholes[1]  # what is completed comes one by one
            assert between or any(whole <= parts for whole in wholes if whole), f"{name} is there in part"

    return {"a bundle is whole or hidden": a_bundle_is_whole_or_hidden}


def _case(layout: str, row: Row) -> Case:
    def prepare(root: Path) -> None:
        host = Host(root, layout)
        host.bystanders()
        row.start(host)

    task = Task("container_bundle", {**common(layout), "state": row.state, **row.options})
    return Case(f"bundle {layout} {row.name}", task, prepare, invariants(layout), reader(layout))


def common(layout: str) -> dict[str, Any]:
    """The options of every task."""
    where = {"path": f"{ROOT}/bundles"} if layout == "oci" else {}
    return {"layout": layout, "host_root": ROOT, "sees_all_processes": True, **where}


def reader(layout: str) -> Task:
    """The task that looks at everything."""
    return Task("container_bundle_info", {**common(layout), "with_documents": True})


def cases(layout: str) -> Iterator[Case]:
    """All cases of a layout."""
    yield from (_case(layout, row) for row in _ROWS if layout in row.layouts)


def quiet_cases(layout: str) -> Iterator[Case]:
    """Where nothing is to be done, or something is refused, or the harness has no faults for it."""
    yield from (_case(layout, row) for row in _QUIET_ROWS if layout in row.layouts)
