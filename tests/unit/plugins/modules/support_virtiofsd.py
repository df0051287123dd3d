# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place with stand-ins for both virtiofsd: real processes that take the listener over and serve one client.

A stand-in is a script, so the kernel puts its interpreter before its arguments; it takes that away again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import transient_units
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.spawning import Spawned, spawn
from ansible_collections.sandboxed.containers.plugins.module_utils._object import daemon_start
from ansible_collections.sandboxed.containers.tests.lab.processes import argv, kill
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
FORCE = {"force": os.geteuid() != 0}  # who may not look into all namespaces cannot tell whether there is a client
SAYS = {
    "rust": "virtiofsd 1.13.2",
    "c": "virtiofsd version 7.2.22 (Debian 1:7.2)\nusing FUSE kernel interface version 7.36",
    "none": "sleep (GNU coreutils) 9.1",
}
SCRIPT = """#!{python} -IS
import _signal, _socket, os, sys, time  # these two are there at once
if "--version" in sys.argv:
    print({says!r})
    sys.exit()
if "--fail" in sys.argv:
    sys.exit("first line\\ncannot share it")
with open("/proc/self/stat", "rb") as file:
    start, end = map(int, file.read().rpartition(b")")[2].split()[45:47])
with open("/proc/self/cmdline", "rb") as file:
    words = file.read().split(b"\\0")
title = b"\\0".join(words[words.index(os.fsencode(sys.argv[0])) :])
memory = os.open("/proc/self/mem", os.O_RDWR)
os.pwrite(memory, title.ljust(end - start, b"\\0"), start)
os.close(memory)
print("begins", flush=True)
if "--stubborn" in sys.argv:
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
if "--deaf" in sys.argv:
    time.sleep(60)
client = _socket.socket(fileno=_socket.socket(fileno=3)._accept()[0])
while client.recv(4096):
    pass
"""


def stand_ins(folder: Path) -> dict[str, str]:
    """The paths of new stand-ins, by what they say. Those that several tests share are asked only once."""
    programs = {}
    for dialect, says in SAYS.items():
        path = folder / dialect / "virtiofsd"
        path.parent.mkdir()
        path.write_text(SCRIPT.format(python=sys.executable, says=says))
        path.chmod(0o755)
        programs[dialect] = str(path)
    return programs


class Site:
    """A folder with records, sockets, a directory to share; and the stand-ins of both dialects."""

    def __init__(self, folder: Path, programs: dict[str, str]) -> None:
        self.folder = folder
        self.programs = programs
        self.records = folder / "records"
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.spawned: list[int] = []

    def spawn(self, *arguments: Any, **more: Any) -> Spawned:
        """In the place of the modules' own, to know what there is to end."""
        child = spawn(*arguments, **more)
        self.spawned.append(child.pid)
        return child

    def run(self, name: Any = "unit-web", check_mode: bool = False, **options: Any) -> Result:
        given = {"name": name, "run_dir": str(self.records), "sees_all_processes": True, "durable": False}
        return run("virtiofsd_daemon", {**given, **options}, check_mode)

    def start(self, name: Any = "unit-web", check_mode: bool = False, **options: Any) -> Result:
        given = {
            "socket_path": str(self.folder / f"{name}.sock"), "shared_dir": str(self.shared),
            "executable": self.programs["rust"], "log_file": str(self.folder / f"{name}.log"),
        }  # fmt: skip
        return self.run(name, check_mode, **{**given, **options})

    def started(self, name: str = "unit-web", **options: Any) -> int:
        """The pid of a daemon that was just started."""
        done = self.start(name, **options)
        assert not done.failed and done.changed, done.msg
        pid: int = done.value["daemons"][0]["pid"]
        return pid

    def info(self, **options: Any) -> Result:
        given = {"run_dir": str(self.records), "sees_all_processes": True}
        return run("virtiofsd_daemon_info", {**given, **options})

    def record(self, name: str = "unit-web") -> dict[str, Any]:
        values: dict[str, Any] = json.loads((self.records / f"{name}.json").read_text())
        return values

    def change_record(self, name: str = "unit-web", **values: Any) -> None:
        (self.records / f"{name}.json").write_text(json.dumps({**self.record(name), **values}))

    def tree(self) -> list[str]:
        """What there is beside what there was before: records, sockets and logs."""
        return sorted({str(path.relative_to(self.folder)) for path in self.folder.rglob("*")} - {"shared"})

    def connected(self, name: str = "unit-web") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.folder / f"{name}.sock"))
        return client

    def processes(self) -> list[int]:
        """Every stand-in of this place that runs."""
        programs = set(self.programs.values())
        return [pid for pid in self.spawned if programs & set(argv(pid))]

    @staticmethod
    def line(pid: int) -> list[str]:
        """Its command line, without the NULs where its interpreter stood."""
        words = argv(pid)
        while words and not words[-1]:
            words.pop()
        return words

    def end(self) -> None:
        """Leave nothing, whatever a test has left."""
        cgroups: list[str] = []
        for path in self.records.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                cgroups += json.loads(path.read_text())["cgroups"]
        kill(*self.processes())
        self.reap()
        daemon_start.remove_cgroups(tuple(cgroups))

    def reap(self) -> None:
        """A module ends after its task, and its daemon becomes a child of init; here they stay ours."""
        for pid in self.spawned:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


@contextmanager
def a_site(folder: Path, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # Units outlive a test that is killed; they are run on a host of their own.
    monkeypatch.setattr(transient_units, "_BOOTED", str(folder / "nothing"))
    monkeypatch.setattr(daemon_start, "_LOOK_SECONDS", 0.002)
    place = Site(folder, programs)
    monkeypatch.setattr(daemon_start, "spawn", place.spawn)
    try:
        yield place
    finally:
        place.end()


def end(pid: int) -> None:
    """Kill a daemon as the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
