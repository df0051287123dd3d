# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole host's tree in a scratch folder, and the modules that look at and prune it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

TASKS = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
WORK = "var/lib/containerd/io.containerd.runtime.v2.task/k8s.io"
ALL = ["live", "leftover", "unknown", "foreign"]
# Above all pids that a kernel gives out.
NO_PID = 1 << 22


class HostTree:
    """Objects of every kind below a directory. Nobody owns them, which is asserted (safety.md A2)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "var").mkdir()
        (root / "var/run").symlink_to("/run")  # as everywhere, and not to lead out of here
        self.options: dict[str, Any] = {
            "host_root": str(root),
            "sees_all_processes": True,
            "min_age": 0,
            "durable": False,
        }

    # what there may be

    def write(self, path: str, text: str = "") -> Path:
        """A file, with what is above it."""
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(text, encoding="utf-8")
        return found

    def folder(self, path: str) -> Path:
        found = self.root / path
        found.mkdir(parents=True, exist_ok=True)
        return found

    def socket(self, path: str) -> Path:
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        if not found.exists():
            os.mknod(found, stat.S_IFSOCK | 0o600)
        return found

    def kata_rs(self, name: str, pid: int = NO_PID) -> Path:
        content = {"sandbox_type": "virt_container", "resource": {}, "hypervisor": {"pid": pid}}
        return self.write(f"run/kata/{name}/state.json", json.dumps(content)).parent

    def kata_persist(self, name: str) -> Path:
        content = {"HypervisorState": {"Type": "qemu", "Pid": NO_PID}, "Config": {"HypervisorType": "qemu"}}
        return self.write(f"run/vc/sbs/{name}/persist.json", json.dumps(content)).parent

    def kata_store(self, name: str, lock: bool = True) -> Path:
        self.write(f"var/lib/vc/sbs/{name}/config.json", json.dumps({"ID": name, "HypervisorType": "qemu"}))
        state = self.write(f"run/vc/sbs/{name}/state.json", "{}").parent
        if lock:
            (state / "lock").touch()
        return state

    def gvisor(self, name: str, root: str = "run/runsc", lock: bool = True) -> Path:
        stem = f"{root}/{name}_sandbox:{name}"
        if lock:
            self.write(f"{stem}.lock")
        sandbox = {"id": name, "pid": NO_PID}
        content = {"id": name, "status": "running", "bundleDir": "/nowhere", "goferPid": 0, "sandbox": sandbox}
        return self.write(f"{stem}.state", json.dumps(content))

    def bundle(self, name: str, socket: str = "a" * 64, sandbox: str = "") -> Path:
        notes = {"io.kubernetes.cri.sandbox-id": sandbox} if sandbox else {}
        folder = self.write(f"{TASKS}/{name}/config.json", json.dumps({"annotations": notes})).parent
        (folder / "rootfs").mkdir(exist_ok=True)
        self.write(f"{TASKS}/{name}/address", f"unix:///run/containerd/s/{socket}")
        return folder

    def mapping(self, name: str, sandbox: str) -> Path:
        return self.folder(f"run/kata-containers/containers-mapping/{name}/{sandbox}").parent

    def everything(self, name: str = "hostunit-1") -> list[Path]:
        """One object of each kind and layout that a tree can have, all dead."""
        return [
            self.kata_rs(f"{name}-rs"),
            self.kata_persist(f"{name}-go"),
            self.kata_store(f"{name}-old"),
            self.gvisor(f"{name}-g"),
            self.bundle(f"{name}-b"),
            self.mapping(f"{name}-m", f"{name}-gone"),
            self.socket(f"run/containerd/s/{'b' * 64}"),
            self.folder(f"run/kata-containers/shared/sandboxes/{name}-share/mounts").parent,
        ]

    # the modules

    def info(self, **options: Any) -> Result:
        found = run("sandbox_host_info", {**self.options, "verdicts": ALL, **options})
        assert not found.failed and not found.changed, found.msg
        return found

    def verdicts(self, **options: Any) -> dict[str, str]:
        """By kind and id."""
        return {f"{one['kind']} {one['id']}": one["verdict"] for one in self.info(**options).value["objects"]}

    def evidence(self, key: str, **options: Any) -> str:
        """The sentences of one object."""
        kind, _blank, name = key.partition(" ")
        found = self.info(**options).value["objects"]
        return "; ".join(*[one["evidence"] for one in found if (one["kind"], one["id"]) == (kind, name)])

    def prune(self, check_mode: bool = False, **options: Any) -> Result:
        given = {"scope": "all_leftovers", **options}
        if "plan" in options:
            given.pop("scope")
        return run("sandbox_prune", {**self.options, **given}, check_mode)

    def names(self) -> set[str]:
        """All that is in the tree."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
