# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host of its own for a piece of work: own pid and mount namespace, own pid 1, empty /run and /var/lib.

In it the modules run with their default roots, and the machine's own /run/vc stays untouched. When the work ends,
however it ends, the kernel kills every process in there and takes every mount away with them.

What is as on a real host, and what is not:

- Mounts (safety.md D3): the modules run in the mount namespace of the pid 1 that they see, so they may unmount and
  delete, without any assertion.
- Processes (A2): this is not the initial pid namespace, so absence of processes proves nothing to the modules. Nobody
  else's processes can own what lies in here, so ``sees_all_processes: true`` is a true statement, and a test that
  wants the verdict "leftover" makes it. What A2 itself says is tested on the machine, at roots below a scratch folder.
- Pids are given by us (take_pid): reuse is real.
- /run and /var/lib are two tmpfs, so a rename between them fails as on a real host. reboot() empties the first.
- Mounts are shared, as systemd sets them up, in peer groups of this host alone: without that the runtimes' slave binds
  would not receive anything.
- Network, users and cgroups are the machine's.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.lab import mounting, processes
from ansible_collections.sandboxed.containers.tests.lab.packages import checkout

HIDDEN = (Path("/run"), Path("/var/lib"))
_CLONE_NEWNS, _CLONE_NEWPID = 0x00020000, 0x20000000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Ended(Exception):
    """The work ended without an answer; the text says how."""


def available() -> str:
    """Why there can be no host of its own here and what would help; empty when there can."""
    if os.geteuid() != 0:
        return "needs root to make a host of its own: sudo make test"
    for path in (checkout(), Path(sys.prefix), Path(sys.base_prefix)):
        for hidden in HIDDEN:
            if hidden in path.resolve().parents:
                return f"{path} lies below {hidden}, which a host of its own hides; move it"
    try:
        answer = run(lambda: b"+", seconds=30)
    except Ended as exc:
        return f"no host of its own can be made on this machine: {str(exc).splitlines()[-1]}"
    return "" if answer == b"+" else "no host of its own can be made on this machine"


def run(work: Callable[[], bytes], seconds: float = 300.0) -> bytes:
    """What the work returned, done by a child of pid 1 of a new host. Raises Ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    receive, send = os.pipe()
    outside = os.fork()
    if outside == 0:
        os.close(receive)
        _outside(work, send)
    os.close(send)
    try:
        answer = _read_all(receive, seconds)
    finally:
        os.close(receive)
        os.kill(outside, signal.SIGKILL)  # not reaped yet; its pid 1, and with it the whole host, follows it
        os.waitpid(outside, 0)
    if answer[:1] == b"+":
        return answer[1:]
    raise Ended(answer[1:].decode(errors="replace") or "the host died before its work was done")


def _read_all(descriptor: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    answer = b""
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        block = os.read(descriptor, 1 << 16)
        if not block:
            return answer
        answer += block
    raise Ended(f"the work took longer than {seconds:g} s")


def _outside(work: Callable[[], bytes], send: int) -> None:
    """The process that unshares, and waits for pid 1 of the new host. Never returns."""
    try:
        _die_with_parent()
        _unshare(_CLONE_NEWNS | _CLONE_NEWPID)
        init = os.fork()
        if init == 0:
            _init(work, send)
        os.close(send)
        os.waitpid(init, 0)
    except BaseException:
        _answer(send, b"-" + traceback.format_exc().encode())
    finally:
        os._exit(0)


def _unshare(flags: int) -> None:
    if _LIBC.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "unshare")


def _init(work: Callable[[], bytes], send: int) -> None:
    """Pid 1: set the host up, start the work, and reap everybody until the work is done. Never returns."""
    try:
        _die_with_parent()
        _set_up()
        worker = os.fork()
        if worker == 0:
            _work(work, send)
        os.close(send)
        while os.wait()[0] != worker:
            pass
    except BaseException:
        _answer(send, b"-" + traceback.format_exc().encode())
    finally:
        os._exit(0)


def _work(work: Callable[[], bytes], send: int) -> None:
    try:
        answer = b"+" + work()
    except BaseException:
        answer = b"-" + traceback.format_exc().encode("utf-8", "backslashreplace")
    _answer(send, answer)
    os._exit(0)


def _answer(send: int, answer: bytes) -> None:
    view = memoryview(answer)
    try:
        while view:
            view = view[os.write(send, view) :]
    except OSError:
        os._exit(1)  # nobody listens any more


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _set_up() -> None:
    root = Path("/")
    mounting.propagate(root, "private", recursive=True)  # first: no peer of the machine's stays
    mounting.mount("proc", Path("/proc"), "proc")
    for hidden in HIDDEN:
        mounting.tmpfs(hidden)
    mounting.propagate(root, "shared", recursive=True)
    _make_run()


def _make_run() -> None:
    for name in ("lock", "containerd", "netns", "lab"):
        Path("/run", name).mkdir()


# -- for the work itself ---------------------------------------------------------------------------------------------


def leave_mount_namespace() -> None:
    """Give this process a mount namespace of its own, whose mounts nobody else receives. Raises OSError."""
    _unshare(_CLONE_NEWNS)
    mounting.propagate(Path("/"), "private", recursive=True)


def reboot() -> None:
    """What a reboot does to the files: every process but the work ends, /run is empty and new, /var/lib stays.

    The process that calls this lives on, and so does pid 1. The boot id stays the machine's.
    """
    mine = {os.getpid(), 1}
    others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in mine]
    processes.kill(*others)
    os.chdir("/")
    while mounting.below(Path("/run")):
        mounting.unmount(Path("/run"), mounting.MNT_DETACH)  # with all that is mounted below
    for point in mounting.below(Path("/var/lib"))[1:]:
        with suppress(OSError):  # a peer's went with another
            mounting.unmount(Path(point), mounting.MNT_DETACH)
    mounting.tmpfs(Path("/run"))
    mounting.propagate(Path("/run"), "shared")
    _make_run()


def take_pid(pid: int) -> None:
    """The next process that is started in this host gets this pid, as soon as it is free. Raises OSError."""
    # Who was killed has its number until its parent has reaped it, on a busy host for a while.
    processes.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"pid {pid} to be free")
    with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as handle:
        handle.write(str(pid - 1))
