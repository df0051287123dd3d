# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run real containers with Debian's runsc, and take every trace of them away afterwards.

    with Lab() as lab:
        runsc = lab.runsc("new")
        runsc.create("live-1", lab.bundle("live-1"))
        runsc.start("live-1")

Everything lies in one short temporary folder: runsc puts its socket elsewhere when the path is longer than a socket
address may be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package, tool
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome, Running, Workspace

# The generation's name in tests, and the suite that has it (the empty one is the machine's own release).
VERSIONS = {"old": "", "new": "-backports"}
SLEEP = ("/bin/sleep", "1000")


def available(version: str = "new") -> str:
    """Why runsc cannot run here and what would make it run; empty when it can."""
    if os.geteuid() != 0:
        return "runsc needs root to make namespaces; run it as root"
    try:
        words = [str(binary(version)), "--version"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except Unavailable as exc:
        return f"no runsc: {exc}"
    except OSError as exc:
        return f"runsc does not run on this machine: {exc.strerror}; it needs an amd64 or arm64 Linux"
    return "" if done.returncode == 0 else f"runsc --version failed: {done.stderr.strip()}"


def binary(version: str) -> Path:
    """The runsc of a version, fetched on first use. Raises Unavailable."""
    return package("runsc", VERSIONS[version]) / "usr/bin/runsc"


class Runsc:
    """One runsc program at one root directory; every command gets the same global flags."""

    def __init__(self, lab: Lab, program: Path, root: Path, platform: str = "ptrace") -> None:
        self.lab = lab
        self.program = program
        self.root = root
        self.flags = ["--root", str(root), f"--platform={platform}", "--network=none", "--ignore-cgroups"]

    def version(self) -> str:
        """As runsc calls itself: `runsc version 0.0~20240729.0`."""
        return self.must("--version").splitlines()[0]

    def spawn(self, *arguments: str | Path, prefix: Sequence[str] = ()) -> Running:
        """Start a command and return while it works."""
        return self.lab.spawn([*prefix, str(self.program), *self.flags, *map(str, arguments)])

    def run(self, *arguments: str | Path, prefix: Sequence[str] = (), timeout: float = 30.0) -> Outcome:
        """Run a command to its end."""
        return self.spawn(*arguments, prefix=prefix).wait(timeout)

    def must(self, *arguments: str | Path) -> str:
        """Run a command that has to succeed; its output."""
        outcome = self.run(*arguments)
        if outcome.code != 0:
            raise RuntimeError(f"runsc {' '.join(map(str, arguments))} failed with {outcome.code}: {outcome.output}")
        return outcome.output

    def create(self, container_id: str, bundle: Path) -> int:
        """Create a container; the pid of its sandbox."""
        self.must("create", "--bundle", bundle, container_id)
        return self.sandbox_pid(container_id)

    def start(self, container_id: str) -> None:
        self.must("start", container_id)

    def launch(self, container_id: str, bundle: Path) -> int:
        """Create and start; the pid of its sandbox."""
        pid = self.create(container_id, bundle)
        self.start(container_id)
        return pid

    def delete(self, container_id: str, force: bool = False) -> Outcome:
        return self.run("delete", *(["--force"] if force else []), container_id)

    def state(self, container_id: str) -> Outcome:
        return self.run("state", container_id)

    def listed(self) -> list[str]:
        """The ids that `runsc list` shows."""
        return [line.split()[0] for line in self.must("list").splitlines()[1:]]

    def interrupt_create(self, container_id: str, bundle: Path, before: str) -> Outcome:
        """Kill a create with SIGKILL just before it opens (`openat`) or writes (`write`) its state file.

        A live sandbox without a record stays; with `write` an empty state file beside it.
        """
        tamper = _strace(self.file(container_id, "state"), f"{before}:signal=SIGKILL:when=1")
        return self.run("create", "--bundle", bundle, container_id, prefix=tamper)

    def slow_create(self, container_id: str, bundle: Path, seconds: int) -> Running:
        """A create that holds the lock for some seconds before it opens its state file."""
        tamper = _strace(self.file(container_id, "state"), f"openat:delay_enter={seconds}s:when=1")
        return self.spawn("create", "--bundle", bundle, container_id, prefix=tamper)

    def slow_flock(self, *arguments: str, lock: Path, seconds: int) -> Running:
        """A command that has the lock file open for some seconds before it asks for the lock."""
        return self.spawn(*arguments, prefix=_strace(lock, f"flock:delay_enter={seconds}s:when=1"))

    def file(self, container_id: str, kind: str, sandbox_id: str = "") -> Path:
        """The `state` or `lock` file of a container (gvisor.md, Paths)."""
        return self.root / f"{container_id}_sandbox:{sandbox_id or container_id}.{kind}"

    def record(self, container_id: str, sandbox_id: str = "") -> dict[str, Any]:
        """The state file's content."""
        text = self.file(container_id, "state", sandbox_id).read_text(encoding="utf-8")
        content: dict[str, Any] = json.loads(text)
        return content

    def sandbox_pid(self, container_id: str, sandbox_id: str = "") -> int:
        return int(self.record(container_id, sandbox_id)["sandbox"]["pid"])

    def gofer_pid(self, container_id: str, sandbox_id: str = "") -> int:
        return int(self.record(container_id, sandbox_id)["goferPid"])

    def pids(self) -> list[int]:
        """All sandboxes and gofers of this root. Their own children carry no arguments and end with them."""
        return processes.naming(f"--root={self.root}")

    def crash(self) -> None:
        """kill -9 everything that runs at this root, as a crash of the machine's runtime would."""
        processes.kill(*self.pids())


class Lab(Workspace):
    """A workspace with bundles and runtimes; on leaving it, their containers are ended too."""

    def __init__(self) -> None:
        super().__init__()
        self._runtimes: list[Runsc] = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_why: object) -> None:
        self.close()

    def runsc(self, version: str = "new", root: Path | None = None, platform: str = "ptrace") -> Runsc:
        """The runsc of a version at a root directory of this lab (`root` in its folder unless given)."""
        runtime = Runsc(self, binary(version), root or self.folder / "root", platform)
        self._runtimes.append(runtime)
        return runtime

    def bundle(
        self,
        name: str = "bundle",
        args: Sequence[str] = SLEEP,
        annotations: Mapping[str, str] | None = None,
    ) -> Path:
        """An OCI bundle with a busybox root file system. Raises Unavailable."""
        folder = self.folder / name
        programs = folder / "rootfs" / "bin"
        programs.mkdir(parents=True)
        shutil.copy2(package("busybox-static") / "bin/busybox", programs / "busybox")
        for applet in ("sh", "sleep", "true"):
            (programs / applet).symlink_to("busybox")
        config = bundle_config(args, annotations or {})
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    def pod(self, runtime: Runsc, sandbox_id: str, *container_ids: str) -> None:
        """Start a pod as an engine does: a sandbox's own container, then its members."""
        kind, name = "io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"
        runtime.launch(sandbox_id, self.bundle(sandbox_id, annotations={kind: "sandbox"}))
        for one in container_ids:
            bundle = self.bundle(one, annotations={kind: "container", name: sandbox_id})
            runtime.must("create", "--bundle", bundle, one)
            runtime.start(one)

    def close(self) -> None:
        """End what was started here and remove the folder; safe to call twice."""
        self.end_all()
        for runtime in self._runtimes:
            runtime.crash()
        self._runtimes.clear()
        super().close()


def bundle_config(args: Sequence[str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """The smallest OCI configuration that runsc runs."""
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": list(args), "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "hostname": "lab",
        "annotations": dict(annotations),
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def _strace(path: Path, injection: str) -> list[str]:
    """A prefix that disturbs one system call of a command on one path. Raises Unavailable."""
    # -b execve: runsc traces its own children, so strace has to let go of them.
    quiet = [*tool("strace", "strace", "libunwind8"), "-f", "-b", "execve", "-o", "/dev/null"]
    # The kernel tells a descriptor's path without the links on the way to it.
    return [
        *quiet,
        "-P",
        str(path.resolve()),
        "-e",
        f"trace={injection.partition(':')[0]},openat",
        "-e",
        f"inject={injection}",
    ]
