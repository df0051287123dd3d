# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import open_sockets
from ansible_collections.sandboxed.containers.tests.lab.processes import wait_until

NO_PID = 2**22 + 12345  # above the kernel's limit
WITHOUT_CALLS = pytest.mark.skipif(not os.path.exists("/proc/self/syscall"), reason="this kernel does not tell calls")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "a.sock"))
        one.listen()
        yield one


def number_of(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


@contextmanager
def child(listener: socket.socket, accepts: bool, in_thread: bool = False) -> Iterator[int]:
    """A process that has the listener, and sleeps in accept on it or on something else."""
    # Not across a fork: the child has only what it needs.
    ready, waits = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ready)

            def work() -> None:
                os.write(waits, b"x")
                if accepts:
                    listener.accept()
                else:
                    os.read(os.pipe()[0], 1)

            if in_thread:
                threading.Thread(target=work).start()
                os.read(os.pipe()[0], 1)
            else:
                work()
        finally:
            os._exit(1)
    os.close(waits)
    try:
        assert os.read(ready, 1) == b"x"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@WITHOUT_CALLS
@pytest.mark.parametrize("in_thread", [False, True], ids=["process", "thread"])
def test_who_sleeps_in_accept_is_seen(listener: socket.socket, in_thread: bool) -> None:
    number = number_of(listener)
    with child(listener, accepts=True, in_thread=in_thread) as pid:
        wait_until(lambda: open_sockets.waits_on_socket([pid], number) is True, "it to accept")
        assert open_sockets.waits_on_socket([NO_PID, pid], number) is True
        assert open_sockets.waits_on_socket([pid], number + 1) is False


@WITHOUT_CALLS
def test_who_only_has_it_open_does_not_wait(listener: socket.socket) -> None:
    with child(listener, accepts=False) as pid:
        assert open_sockets.waits_on_socket([pid], number_of(listener)) is False
        assert open_sockets.holders_of([number_of(listener)], [pid]) == {pid}


def test_who_has_ended_tells_nothing(listener: socket.socket) -> None:
    assert open_sockets.waits_on_socket([NO_PID], number_of(listener)) is None
    assert open_sockets.waits_on_socket([], number_of(listener)) is None
    assert open_sockets.holders_of([number_of(listener)], [NO_PID]) == set()
    assert open_sockets.numbers_open_by([NO_PID]) == open_sockets.numbers_open_by([]) == set()


def test_sockets_that_processes_have_open(listener: socket.socket) -> None:
    number = number_of(listener)
    assert open_sockets.holders_of([1, number], [NO_PID, os.getpid()]) == {os.getpid()}
    assert open_sockets.holders_of([], [os.getpid()]) == set()
    assert number in open_sockets.numbers_open_by(iter([NO_PID, os.getpid()]))
    listener.close()
    assert open_sockets.holders_of([number], [os.getpid()]) == set()
    assert number not in open_sockets.numbers_open_by([os.getpid()])


def put(proc: Path, pid: int, tid: int, call: str | None, links: dict[int, str]) -> None:
    for folder in (proc / f"{pid}/fd", proc / f"{pid}/task/{tid}/fd"):
        folder.mkdir(parents=True, exist_ok=True)
        for number, target in links.items():
            if not (folder / str(number)).is_symlink():
                (folder / str(number)).symlink_to(target)
    if call is not None:
        (proc / f"{pid}/task/{tid}/syscall").write_text(call)


ACCEPT = "43 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f\n"


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (ACCEPT, True),
        (ACCEPT.replace("0x3", "0x4"), False),
        (ACCEPT.replace("0x3", "0x9"), False),
        (ACCEPT.replace("0x3", "0xffffffffffffffff"), False),
        (ACCEPT.replace("0x3", "0x7f00deadbeef"), False),
        ("running\n", False),
        ("-1 0x7ffd0 0x7f0\n", False),
        ("", False),
        (None, None),
    ],
    ids=["accept", "a pipe", "not open", "minus one", "an address", "running", "outside", "empty", "hidden"],
)
def test_what_the_kernel_tells_of_a_thread(tmp_path: Path, call: str | None, answer: bool | None) -> None:
    put(tmp_path, 7, 7, call, {3: "socket:[4711]", 4: "pipe:[4711]"})
    assert open_sockets.waits_on_socket([7], 4711, str(tmp_path)) is answer


def test_one_thread_is_enough_and_one_that_is_hidden_hides_no_other(tmp_path: Path) -> None:
    put(tmp_path, 7, 7, None, {3: "socket:[4711]"})
    assert open_sockets.waits_on_socket([6, 7], 4711, str(tmp_path)) is None
    put(tmp_path, 7, 8, "running", {3: "socket:[4711]"})
    assert open_sockets.waits_on_socket([6, 7], 4711, str(tmp_path)) is False
    put(tmp_path, 7, 9, ACCEPT, {3: "socket:[4711]"})
    assert open_sockets.waits_on_socket([6, 7], 4711, str(tmp_path)) is True


def test_links_are_compared_whole(tmp_path: Path) -> None:
    put(tmp_path, 7, 7, ACCEPT, {3: "socket:[47110]", 4: "socket:[471]", 5: "/x/socket:[4711]", 6: "anon_inode:[x]"})
    assert open_sockets.holders_of([4711], [7], str(tmp_path)) == set()
    assert open_sockets.waits_on_socket([7], 4711, str(tmp_path)) is False
    assert open_sockets.numbers_open_by([7], str(tmp_path)) == {47110, 471}
