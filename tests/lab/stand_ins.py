# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real processes that look like programs which cannot be installed here, down to executable, arguments and descriptors.

A stand-in is a program of a few machine instructions that waits for ever and takes no notice of its arguments, so its
command line is exactly the one that is wanted; sockets, files and locks are given to it as open descriptors.

    with Crowd(folder) as crowd:
        qemu = crowd.start(Program("/usr/bin/qemu-system-x86_64", ["-name", "lab-web-1"], listens=[folder / "qmp"]))
        qemu.kill()
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from ansible_collections.sandboxed.containers.tests.lab import own_host
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

_CLONE_NEWNET = 0x40000000
# ppoll() without descriptors and time-out, again and again: the ELF machine number and the code.
_WAIT_FOR_EVER = {
    "x86_64": (62, "31ff31f631d24531d2b80f0100000f05ebee"),
    "aarch64": (183, "000080d2010080d2020080d2030080d2280980d2010000d4faffff17"),
}
_BASE, _HEADERS = 0x400000, 64 + 56


@dataclass(frozen=True)
class Program:
    """How a program is started. path: of the executable, which is also argv[0] unless that is given.

    pid_file: written by the program itself, with its own pid and a newline. receives: sockets that Kata makes and hands
    over as descriptors 3, 4, …; listens: those that it makes itself. It serves both.
    opens: files that it holds open. locks: files, made if needed, that it holds under an exclusive flock.
    cgroups: directories of cgroup hierarchies that it joins. root: its root directory, as of a jail.
    own_network: a network namespace of its own. stubborn: SIGTERM does nothing to it.
    """

    path: str
    arguments: Sequence[str] = ()
    argv0: str = ""
    cwd: Path = Path("/")
    pid_file: Path | None = None
    receives: Sequence[Path] = ()
    listens: Sequence[Path] = ()
    opens: Sequence[Path] = ()
    locks: Sequence[Path] = ()
    cgroups: Sequence[Path] = ()
    root: Path | None = None
    own_network: bool = False
    stubborn: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def sockets(self) -> list[Path]:
        return [*self.receives, *self.listens]

    @property
    def argv(self) -> list[str]:
        return [self.argv0 or self.path, *self.arguments]


class Started:
    """A process of the crowd."""

    def __init__(self, program: Program, pid: int) -> None:
        self.program = program
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)  # not reaped before kill(), so this is it
        self._reaped = False

    def lives(self) -> bool:
        return not select.select([self._pidfd], [], [], 0)[0]

    def wait(self, seconds: float = 10.0) -> bool:
        """Whether it ends by itself."""
        return bool(select.select([self._pidfd], [], [], seconds)[0])

    def send(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """SIGKILL, as a crash: sockets and pid files stay. Safe to call twice."""
        if not self._reaped:
            self.send(signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._reaped = True

    def close(self) -> None:
        self.kill()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class Crowd:
    """All the processes of a test; they end with it. folder: where the executables are made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Started] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_why: object) -> None:
        self.close()

    def start(self, program: Program, pid: int = 0) -> Started:
        """Start a stand-in; it has its descriptors and its command line when this returns.

        pid: the one that it gets, in a host of its own only. Raises Unavailable.
        """
        received = [_listening(path) for path in (*program.receives, *program.listens)]
        locks = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in program.locks]
        files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in program.opens]
        if pid:
            own_host.take_pid(pid)
        return self._spawn(program, self._stand_in(program), [*received, *locks, *files], _Before(program, locks), pid)

    def start_real(self, program: Program, executable: Path) -> Started:
        """Start a real program: it makes its own sockets, locks and pid file, and gets those that Kata makes for it.

        What it says goes to `<its name>.log` in the crowd's folder.
        """
        received = [_listening(path) for path in program.receives]
        bare = replace(program, pid_file=None, locks=())
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{program.name}.log"
        return self._spawn(program, executable, received, _Before(bare, []), 0, log)

    def start_thread(self, tid: int) -> Started:
        """A process with a second thread that has this number."""
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            own_host.take_pid(tid)
            thread = threading.Thread(target=signal.pause, daemon=True)
            thread.start()
            os.write(send, str(thread.native_id).encode())
            os.close(send)
            while True:
                signal.pause()
        os.close(send)
        with os.fdopen(receive) as told:
            got = int(told.read(16).strip() or 0) if select.select([receive], [], [], 10)[0] else 0
        started = Started(Program("/usr/bin/python"), pid)
        self._started.append(started)
        if got != tid:
            raise Unavailable(f"thread {tid} was wanted and {got} came")
        return started

    def close(self) -> None:
        for one in self._started:
            one.close()
        self._started.clear()

    def _spawn(
        self,
        program: Program,
        executable: Path,
        descriptors: list[int],
        before: Callable[[], None],
        wanted: int,
        log: Path = Path(os.devnull),
    ) -> Started:
        """fork and exec: the descriptors become 3, 4, …, and nothing else is inherited. Raises OSError."""
        problem, tell = os.pipe()
        try:
            pid = os.fork()
            if pid == 0:
                _become(program, executable, descriptors, before, (tell, log))
            os.close(tell)
            tell = -1
            told = os.read(problem, 4096)  # ends when exec closes it
        finally:
            for one in (problem, *descriptors, *([tell] if tell >= 0 else [])):
                os.close(one)
        if told:
            os.waitpid(pid, 0)
            raise OSError(f"{program.path} could not be started: {told.decode(errors='replace')}")
        started = Started(program, pid)
        self._started.append(started)
        if wanted and pid != wanted:
            raise Unavailable(f"pid {wanted} was wanted and {pid} came")
        return started

    def _stand_in(self, program: Program) -> Path:
        """The executable, as seen from the program's root; its last component is what /proc/PID/exe ends in."""
        if program.root is not None:
            inside = Path("/", program.name)  # a jailer copies the program into the jail
            _make_stand_in(program.root / program.name)
            return inside
        target = self._folder / program.path.lstrip("/")
        _make_stand_in(target)
        return target


def _become(
    program: Program, executable: Path, descriptors: list[int], before: Callable[[], None], says: tuple[int, Path]
) -> NoReturn:
    """In the child: turn into the program. says: where it tells that this failed, which exec closes, and its log."""
    tell, log = says
    try:
        top = max((tell, *descriptors, 2 + len(descriptors))) + 1
        tell = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, top)
        kept = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, top) for one in descriptors]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.chdir(program.cwd)
        before()
        for number, one in enumerate([null, output, output, *kept]):
            os.dup2(one, number)
        os.closerange(3 + len(kept), top)
        os.execve(executable, program.argv, {"PATH": os.defpath, **program.environment})
    except BaseException as exc:
        os.write(tell, repr(exc).encode())
    finally:
        os._exit(127)


class _Before:
    """What a child does between fork and exec: what has to be its own doing."""

    def __init__(self, program: Program, locks: Sequence[int]) -> None:
        self.program = program
        self.locks = locks

    def __call__(self) -> None:
        program = self.program
        for folder in program.cgroups:
            _write(folder / "cgroup.procs", "0")
        if program.pid_file is not None:
            _write(program.pid_file, f"{os.getpid()}\n")
        for descriptor in self.locks:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if program.own_network and ctypes.CDLL(None).unshare(_CLONE_NEWNET) != 0:
            raise OSError("no network namespace")
        signal.signal(signal.SIGTERM, signal.SIG_IGN if program.stubborn else signal.SIG_DFL)
        if program.root is not None:
            os.chroot(program.root)
            os.chdir("/")


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="ascii") as handle:
        handle.write(text)


def _listening(path: Path) -> int:
    """The descriptor of a unix socket that listens. Raises OSError, for a path that is too long as well."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(path))
        one.listen(8)
        return one.detach()


def _make_stand_in(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_elf())
        path.chmod(0o755)


def _elf() -> bytes:
    """A static program that waits for ever. Raises Unavailable for machines whose code is not known here."""
    machine = platform.machine()
    if machine not in _WAIT_FOR_EVER:
        raise Unavailable(f"no stand-in for a {machine} machine; run it on x86_64 or aarch64")
    number, text = _WAIT_FOR_EVER[machine]
    code = bytes.fromhex(text)
    size = _HEADERS + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return identity + header + segment + code
