# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both real virtiofsd on a host of their own, and the modules at work in it.

A test that asks for `share` runs as a process of that host, with which everything ends: see tests/lab/own_host.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import forked, processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.file_daemon import EXECUTABLES
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.own_host_plugin import host, pytest_runtest_protocol
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

forked.prepare("virtiofsd_daemon", "virtiofsd_daemon_info")
__all__ = ["host", "pytest_runtest_protocol"]
GREETING = "hello from the host"
RECORDS = Path("/run/sandboxed.containers/virtiofsd")


class Share:
    """A directory with one file, the daemon that is to serve it, and the modules, about that daemon."""

    def __init__(self, dialect: str, folder: Path) -> None:
        self.dialect, self.folder = dialect, folder
        # Cgroups are those of the machine, on which other tests of this kind run as well.
        self.name = name = f"lab-{os.urandom(4).hex()}"
        self.directory = folder / "share"
        self.socket_path = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"
        self.record = RECORDS / f"{name}.json"
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "hello").write_text(f"{GREETING}\n", encoding="utf-8")
        self.options: dict[str, Any] = {
            "name": name,
            "socket_path": str(self.socket_path),
            "shared_dir": str(self.directory),
            "executable": str(EXECUTABLES[dialect]()),
            "log_file": str(self.log),
            "sees_all_processes": True,  # this host of their own has a pid namespace
        }

    def started(self, **options: Any) -> Result:
        return Forked("virtiofsd_daemon", {**self.options, **options}).result()

    def restarted(self, **options: Any) -> Result:
        return self.started(state="restarted", **options)

    def stopped(self, **options: Any) -> Result:
        given = {"name": self.name, "state": "stopped", "sees_all_processes": True}
        return Forked("virtiofsd_daemon", {**given, **options}).result()

    def must_stop(self, **options: Any) -> None:
        """Stop it, so that nothing of it is left."""
        done = self.stopped(**options)
        assert done.changed and not done.failed, done.message
        assert self.rests() == []

    def look(self, **options: Any) -> dict[str, Any]:
        """What the info module says of it."""
        answer = Forked("virtiofsd_daemon_info", {"name": self.name, **options}).result()
        assert not answer.failed, answer.message
        found: dict[str, Any] = answer.answer["daemons"][0]
        return found

    def must_start(self, **options: Any) -> int:
        """Start it; the pid."""
        done = self.started(**options)
        assert done.changed and not done.failed, done.message
        return int(done.answer["daemons"][0]["pid"])

    def family(self) -> list[int]:
        """The pids of all processes that have the share in their command line, the modules' own excepted."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        programs = {pid: processes.argv(pid) for pid in pids}
        named = [pid for pid, argv in programs.items() if argv and argv[0].endswith("/virtiofsd")]
        path = str(self.directory).replace("\\", "")  # the daemon in C is told it with backslashes before its signs
        return sorted(pid for pid in named if any(path in word.replace("\\", "") for word in programs[pid]))

    def cgroups(self) -> list[Path]:
        """The cgroups that its daemon has, or had."""
        return [*Path("/sys/fs/cgroup").glob(f"**/sandboxed-virtiofsd-{self.name}-*")]

    def close(self) -> None:
        """End its daemon and remove its cgroups: these alone do not end with the host."""
        processes.kill(*self.family())
        for cgroup in self.cgroups():
            processes.wait_until(lambda cgroup=cgroup: not (cgroup / "cgroup.procs").read_text(), f"{cgroup}")  # type: ignore[misc]
            cgroup.rmdir()
            with suppress(OSError):
                cgroup.parent.rmdir()

    def rests(self) -> list[str]:
        """What is still there of a daemon that should be gone."""
        found = [*filter(os.path.lexists, [self.socket_path, self.record]), *self.cgroups()]
        hidden = [*RECORDS.glob(".*")] if RECORDS.exists() else []
        return [*map(str, [*found, *hidden]), *(f"pid {pid}" for pid in self.family())]


@pytest.fixture(params=list(EXECUTABLES))
def dialect(request: pytest.FixtureRequest) -> str:
    """Both; a test that is about one says so by parametrising this."""
    try:
        EXECUTABLES[request.param]()
    except Unavailable as exc:
        pytest.skip(str(exc))
    return str(request.param)


@pytest.fixture
def share(host: None, dialect: str) -> Iterator[Share]:
    """A share on a host of its own."""
    with closing(Share(dialect, Path("/run/lab/share"))) as one:
        yield one


@pytest.fixture
def other(share: Share) -> Iterator[Share]:
    """A second one on the same host. Its path has what libfuse takes for signs of its own."""
    with closing(Share(share.dialect, share.folder / "a,b\\c d")) as one:
        yield one
