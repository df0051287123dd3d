# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's tree with bundles in it, their work directories, shim sockets and runc's states, and things around them."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.faults import bundles, snapshot
from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import CANARY, HOST, TOP, Compared
from ansible_collections.sandboxed.containers.tests.lab import forked, trees
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result

LAYOUTS = bundles.LAYOUTS
NAMESPACE = "default"
SOCKETS = HOST / "run/containerd/s"
# fault-10, the neighbour, says that its shim listens on the first; of the second nobody says anything.
NEIGHBOURS_SOCKET, UNCLAIMED = "a" * 64, "b" * 64
# Where the files of a bundle may lead: to a socket of somebody else, and out of every directory.
WAYS_OUT = (
    *(f"unix:///run/containerd/s/{name}" for name in (NEIGHBOURS_SOCKET, UNCLAIMED, f"../{UNCLAIMED}", "canary")),
    *(f"unix://{CANARY}/{name}" for name in (UNCLAIMED, "file")),
)


class BundleGround(Compared):
    """Bundles. tops: the directories that have one for each namespace; with oci, one that has the bundles."""

    def __init__(self, layout: str) -> None:
        super().__init__(layout)
        inside = bundles.INSIDE[layout]
        self.tops = [HOST / "bundles"]
        if inside:
            runs = ("run/containerd/" + inside, "var/lib/containerd/" + inside, "run/containerd/runc")
            self.tops = [HOST / top for top in runs]

    def place(self, top: int, *names: str) -> Path:
        """Where something of a bundle is, in the namespace where there is one. top: 0 bundles, 1 work, 2 runc's."""
        return self.tops[top].joinpath(*([] if self.layout == "oci" else [NAMESPACE]), *names)

    def build(self) -> None:
        shutil.rmtree(TOP, ignore_errors=True)
        HOST.mkdir(parents=True)
        bundles.Host(HOST, self.layout).bystanders()
        SOCKETS.mkdir(parents=True)
        for folder in (TOP, HOST.parent, HOST, SOCKETS, *(top.parent for top in self.tops)):
            trees.put_data(folder / "canary")
        for path in (SOCKETS / NEIGHBOURS_SOCKET, SOCKETS / UNCLAIMED, CANARY / UNCLAIMED):
            os.mknod(path, stat.S_IFSOCK | 0o600)
        for number in range(len(self.tops)):
            folder = self.place(number)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "way-out").symlink_to(CANARY)
            # Where there are namespaces, these look like two.
            (folder.parent / "out-of-all").symlink_to(CANARY)
            (folder.parent / "inside-out").symlink_to("../canary")
        (self.place(0, "fault-10") / "link").symlink_to(CANARY)
        self.seen = snapshot.take(TOP)

    def run(self, module: str, sees_all: bool | None = True, **options: Any) -> Result:
        """A module's answer. Raises RuntimeError for a traceback."""
        place = {"path": str(HOST / "bundles")} if self.layout == "oci" else {}
        common = {"layout": self.layout, "host_root": str(HOST), "sees_all_processes": sees_all, **place}
        return forked.forked(module, **common, **options)

    def foreign(self, paths: set[str], names: set[str], namespaces: set[str]) -> set[str]:
        """Those of the paths that are not of a bundle with one of the names in one of the namespaces."""
        return {path for path in paths if not self._is_of(TOP / path, names, namespaces)}

    def _is_of(self, path: Path, names: set[str], namespaces: set[str]) -> bool:
        if path == SOCKETS / UNCLAIMED:
            return True  # a bundle that names it may take it along, since nobody else does
        for top in self.tops:
            if top in path.parents:
                parts = list(path.relative_to(top).parts)
                if self.layout != "oci" and parts.pop(0) not in namespaces:
                    return False
                return not parts or any(self._is_name_of(parts[0], name) for name in names if name)
        return False

    def _is_name_of(self, entry: str, name: str) -> bool:
        """Itself, ours of a delete that was killed, and containerd's own."""
        return re.fullmatch(rf"{re.escape(name)}|\.{re.escape(name)}(\.[0-9a-f]{{16}})?", entry) is not None

    def files(self, name: str) -> Iterator[tuple[Path, Any]]:
        """What is read of a bundle, and what is usually in there: a text, or a document."""
        yield self.place(0, name, "config.json"), spec()
        if self.layout == "oci":
            return
        address = WAYS_OUT[1]
        yield self.place(0, name, "address"), address
        yield self.place(0, name, "bootstrap.json"), {"version": 2, "address": address, "protocol": "ttrpc"}
        yield self.place(0, name, "init.pid"), "4194999"
        yield self.place(0, name, "sandbox"), "pod-1"
        state = {"id": name, "init_process_pid": 4194999, "init_process_start": 5, "created": "2026-11-21T23:13:13Z"}
        labels = {"labels": [f"bundle=/{self.place(0, name).relative_to(HOST)}"]}
        yield self.place(2, name, "state.json"), {**state, "config": labels}


def spec() -> dict[str, Any]:
    """One with all that is read in it."""
    process = {"args": ["/bin/true"], "cwd": "/", "env": ["A=b"], "user": {"uid": 0, "gid": 0}}
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    annotations = {"io.kubernetes.cri.sandbox-id": "pod-1", "io.kubernetes.cri.container-type": "container"}
    linux = {
        "cgroupsPath": "/lab-hostile/web-1",
        "resources": {"memory": {"limit": 1 << 20}},
        "namespaces": [{"type": "mount"}],
        "uidMappings": mapping,
        "gidMappings": mapping,
    }
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "web-1",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}],
        "annotations": annotations,
        "linux": linux,
    }
