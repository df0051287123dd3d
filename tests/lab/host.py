# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small host inside this one: mount, pid and cgroup namespaces of its own, with an init that reaps.

It has this machine's files, with an empty /run and /var/lib of its own, and nothing that runs, is mounted or is made in
a cgroup there is left when it ends: the kernel ends a pid namespace with its init, and a mount namespace with its last
process.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.lab import cgroups, processes
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome, Running, Workspace

# Its arguments are the cgroups of the workspace, by which a later one finds what a killed test run has left.
_OUTER = """
set -eu
for cgroup; do echo $$ > "$cgroup/cgroup.procs"; done
"""
# The number of this shell as the test sees it is in the machine's own /proc. With SIGCHLD ignored the kernel reaps what
# becomes a child of init.
_INIT = """
set -eu
read -r pid rest < /proc/self/stat
trap '' CHLD
mount -t proc proc /proc
names=$(cd /sys/fs/cgroup; for one in *; do if [ -d "$one" ] && [ ! -L "$one" ]; then echo "$one"; fi; done)
mount -t tmpfs tmpfs /sys/fs/cgroup
for name in $names; do
  place=/sys/fs/cgroup/$name
  mkdir "$place"
  case $name in
    unified) mount -t cgroup2 cgroup2 "$place" ;;
    systemd) mount -t cgroup -o none,name=systemd cgroup "$place" ;;
    *) mount -t cgroup -o "$name" cgroup "$place" ;;
  esac
done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -m 1777 /run/lock
echo "$pid"
exec sleep infinity
"""
_NAMESPACES = ["--mount", "--pid", "--cgroup"]


class Host:
    """A running inner host. Commands in it are started from here, so their output and their end are seen here."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._cgroups = cgroups.make(workspace.folder.name)
        with_us = ["setpriv", "--pdeathsig", "KILL"]  # if this process is killed, it is as well, and its child with it
        unshare = [*with_us, "unshare", *_NAMESPACES, "--fork", "--kill-child", "--propagation", "private"]
        self._outer = self._enter([*unshare, "sh", "-c", _INIT])
        processes.wait_until(lambda: "\n" in self._outer.printed() or self._outer.popen.poll() is not None, "its init")
        printed = self._outer.printed().strip()
        if not printed.isdigit():
            raise RuntimeError(f"no inner host: {printed}")
        self.init = int(printed)
        self._namespace = os.readlink(f"/proc/{self.init}/ns/pid")

    def _enter(self, command: Sequence[str]) -> Running:
        """Start a command of ours in the cgroups of the inner host."""
        folders = [str(path) for path in self._cgroups]
        script = f"{_OUTER}exec {' '.join(_quoted(word) for word in command)}\n"
        return self.workspace.spawn(["sh", "-c", script, "enter", *folders])

    def spawn(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Running:
        """Start a command in it and return while it works."""
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        enter = ["nsenter", "--target", str(self.init), *_NAMESPACES, "--", "env", *settings]
        return self._enter([*enter, *map(str, command)])

    def run(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> Outcome:
        """Run a command in it to its end."""
        running = self.spawn(command, env)
        try:
            return running.wait(timeout)
        finally:
            running.close()

    def must(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
        """Run a command that has to succeed; its output."""
        outcome = self.run(command, env)
        if outcome.code != 0:
            raise RuntimeError(f"{' '.join(map(str, command))} failed with {outcome.code}: {outcome.output}")
        return outcome.output

    def path(self, inside: str) -> Path:
        """A path of the inner host, as it is reached from here. An absolute link on the way leads to our own files."""
        return Path(f"/proc/{self.init}/root{inside}")

    def mounts(self) -> list[str]:
        """The mount points below /run and /var/lib."""
        rows = Path(f"/proc/{self.init}/mountinfo").read_text(encoding="utf-8").splitlines()
        return [row.split()[4] for row in rows if row.split()[4].startswith(("/run/", "/var/lib/"))]

    def pids(self, program: str = "") -> list[int]:
        """The processes in it but for its init, by our numbers; those of a program by the file name of argument 0."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != self.init and self._holds(int(name)):
                arguments = processes.argv(int(name))
                if processes.lives(int(name)) and (not program or (arguments and Path(arguments[0]).name == program)):
                    found.append(int(name))
        return sorted(found)

    def nested_pids(self) -> list[int]:
        """The processes in pid namespaces below it, by our numbers: those of containers."""
        depth = len(_numbers(self.init))
        found = []
        for pid in cgroups.pids(self.workspace.folder.name):
            with suppress(FileNotFoundError, ProcessLookupError):
                if len(_numbers(pid)) > depth:
                    found.append(pid)
        return found

    def nested_inits(self) -> list[int]:
        """The first process of each pid namespace below it, by our numbers."""
        found = []
        for pid in self.nested_pids():
            with suppress(FileNotFoundError, ProcessLookupError):
                if _numbers(pid)[-1] == 1:
                    found.append(pid)
        return found

    def _holds(self, pid: int) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/ns/pid") == self._namespace
        except OSError:
            return False

    def inside(self, pid: int) -> int:
        """The number that a process has in there; it may have another one in a container's own namespace below."""
        return _numbers(pid)[len(_numbers(self.init)) - 1]

    def close(self) -> None:
        """End it and all that runs in it, and remove its cgroups; safe to call twice."""
        if self._outer.popen.poll() is None:
            processes.kill(self.init)
            self._outer.popen.wait(30)  # it reaps its init, which the machine's own init would do only after a while
        self.workspace.end_all()
        cgroups.remove(self.workspace.folder.name)


def _numbers(pid: int) -> list[int]:
    """The numbers of a process in each pid namespace from ours inwards."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    raise RuntimeError(f"the kernel does not tell the numbers of pid {pid}")


def available() -> str:
    """Why there can be no inner host here, or empty."""
    if os.geteuid() != 0:
        return "an inner host needs root to make namespaces; run it as root"
    try:
        done = subprocess.run(["unshare", *_NAMESPACES, "true"], capture_output=True, text=True, check=False)
    except OSError as exc:
        return f"unshare: {exc.strerror}; it is in Debian's package util-linux"
    if not (cgroups.ROOT / "memory" / "cgroup.procs").exists():
        # v2 lets no cgroup have both processes and children.
        return "an inner host needs the cgroup v1 hierarchies: boot with systemd.unified_cgroup_hierarchy=0"
    return done.stderr.strip()


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
