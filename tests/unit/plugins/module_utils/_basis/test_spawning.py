# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real children: each is told by what the kernel shows of it, or by what the program that it became has written."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.spawning import Spawned, spawn
from ansible_collections.sandboxed.containers.tests.lab.processes import lives, state, wait_until

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
# What a program finds when it begins. Python itself ignores SIGPIPE, so a shell asks for the signals.
FACTS = """
import json, os, sys
ids = {int(name) for name in os.listdir("/proc/self/fd")}
links = {}
for number in sorted(ids):
    try:
        links[number] = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        pass
try:
    terminal = os.open("/dev/tty", os.O_RDWR)
except OSError:
    terminal = None
umask = os.umask(0)
facts = {"links": links, "terminal": terminal, "umask": umask, "cwd": os.getcwd(), "pid": os.getpid(),
    "session": os.getsid(0), "group": os.getpgrp(), "environment": dict(os.environ), "argv": sys.argv[1:],
    "network": os.readlink("/proc/self/ns/net")}
print(json.dumps(facts), flush=True)
"""


@contextmanager
def output_file() -> Iterator[int]:
    descriptor = os.memfd_create("unit-output")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def said(output: int) -> str:
    return os.pread(output, 1 << 16, 0).decode()


@contextmanager
def waiting(*arguments: str, output: int | None = None, **more: Any) -> Iterator[Spawned]:
    """A child that waits; it is gone in the end, whatever became of it."""
    null = os.open("/dev/null", os.O_WRONLY)
    try:
        child = spawn(arguments, more.pop("inherited", ()), null if output is None else output, **more)
    finally:
        os.close(null)
    try:
        yield child
    finally:
        if not child.ended():
            os.kill(child.pid, signal.SIGKILL)
            child.ended(wait=True)


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code, *arguments)


def facts_of(inherited: list[int], **more: Any) -> dict[str, Any]:
    with (
        output_file() as output,
        waiting(*python(FACTS, "one two", ""), inherited=inherited, output=output, **more) as c,
    ):
        c.release()
        assert c.ended(wait=True) == "with status 0", said(output)
        facts: dict[str, Any] = json.loads(said(output))
        assert facts["pid"] == c.pid
        return facts


def test_only_four_descriptors_are_open_and_the_fourth_is_the_listener() -> None:
    """Whatever this process has open, also what it lets others inherit."""
    with socket.socket(socket.AF_UNIX) as listener:
        leaked = [os.dup(listener.fileno()) for _number in range(8)]
        pipes = os.pipe()
        try:
            for one in (*leaked, *pipes):
                os.set_inheritable(one, True)
            links = facts_of([listener.fileno()])["links"]
        finally:
            for one in (*leaked, *pipes):
                os.close(one)
        assert list(links) == ["0", "1", "2", "3"]
        assert links["0"] == "/dev/null" and links["1"] == links["2"]
        assert links["1"].startswith("/memfd:unit-output")
        assert links["3"] == f"socket:[{os.fstat(listener.fileno()).st_ino}]"


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_what_is_inherited_comes_in_its_order(count: int) -> None:
    sockets = [socket.socket(socket.AF_UNIX) for _number in range(count)]
    try:
        links = facts_of([one.fileno() for one in sockets])["links"]
        expected = [f"socket:[{os.fstat(one.fileno()).st_ino}]" for one in sockets]
    finally:
        for one in sockets:
            one.close()
    assert list(links) == [str(number) for number in range(3 + count)]
    assert [links[str(number)] for number in range(3, 3 + count)] == expected


def test_the_program_has_nothing_of_the_task() -> None:
    before = os.umask(0o077)
    here = os.getcwd()
    try:
        facts = facts_of([])
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert (facts["umask"], facts["cwd"], facts["argv"]) == (0o022, "/", ["one two", ""])
    assert facts["session"] == facts["group"] == facts["pid"] and facts["terminal"] is None
    assert set(facts["environment"]) - {"LC_CTYPE"} == {"PATH", "LANG"}
    assert os.getcwd() == here


def test_signals_are_as_a_program_may_expect_them() -> None:
    usual = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
    try:
        with output_file() as output:
            with waiting("/bin/cat", "/proc/self/status", output=output) as child:
                child.release()
                child.ended(wait=True)
            status = dict(line.split(":", 1) for line in said(output).splitlines())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for one, handler in usual.items():
            signal.signal(one, handler)
    internal = 1 << 31 | 1 << 32  # the C library's own, which only it can change
    sets = {name: int(status[name], 16) & ~internal for name in ("SigBlk", "SigIgn", "SigCgt")}
    assert sets == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}


def test_a_child_with_a_terminal_of_ours_has_none() -> None:
    """As under ssh -t: the parent has a controlling terminal."""
    master, slave = os.openpty()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            fcntl.ioctl(slave, 0x540E, 0)  # TIOCSCTTY
            os.close(os.open("/dev/tty", os.O_RDWR))  # it has one indeed
            status = 0 if facts_of([])["terminal"] is None else 2
        finally:
            os._exit(status)
    os.close(slave)
    assert os.waitpid(pid, 0)[1] == 0
    os.close(master)


@pytest.mark.parametrize(
    ("mode", "content", "text"),
    [
        (None, "", "it could not be started: No such file or directory."),
        (0o644, "#!/bin/sh\n", "it could not be started: Permission denied."),
        (0o755, "no program", "it could not be started: Exec format error."),
        (0o755, "#!/nonexistent/sh\n", "it could not be started: No such file or directory."),
    ],
    ids=["missing", "not executable", "no program", "no interpreter"],
)
def test_what_cannot_become_the_program_says_why(tmp_path: Path, mode: int | None, content: str, text: str) -> None:
    path = tmp_path / "program"
    if mode is not None:
        path.write_text(content)
        path.chmod(mode)
    with waiting(str(path)) as child:
        with pytest.raises(StateError) as failed:
            child.release()
        assert str(failed.value) == f"{path}: {text}"
        assert child.ended() == "with status 127"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("pass", "with status 0"),
        ("raise SystemExit(3)", "with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "by signal 9"),
    ],
    ids=["0", "3", "signal"],
)
def test_how_it_ended(code: str, how: str) -> None:
    with waiting(*python(code)) as child:
        assert child.ended() == ""
        child.release()
        assert child.ended(wait=True) == child.ended() == how


def test_how_it_ended_where_nobody_is_told() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with waiting("/bin/true") as child:
            assert child.ended() == ""
            child.release()
            wait_until(lambda: not os.path.exists(f"/proc/{child.pid}"), "it to end")
            assert child.ended() == "with a status that is not known"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_abandoned_it_ends_without_ever_being_the_program(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with waiting("/usr/bin/touch", str(tmp_path / "trace")) as child:
        assert lives(child.pid)
        child.abandon()
        assert child.ended() == "with status 0" and not os.path.exists(f"/proc/{child.pid}")
    assert not (tmp_path / "trace").exists()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_one_that_was_killed_while_it_waited_is_no_surprise() -> None:
    """Its end is told by ended(), as that of a program that ends at once."""
    before = os.listdir("/proc/self/fd")
    with waiting("/bin/true") as child:
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: state(child.pid) == "Z", "it to end")
        child.release()
        assert child.ended() == "by signal 9"
    assert len(os.listdir("/proc/self/fd")) == len(before)


PARENT = """
import os, sys
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.spawning import spawn
null = os.open("/dev/null", os.O_WRONLY)
first = spawn(["/usr/bin/touch", sys.argv[1] + "/first"], [], null)
second = spawn(["/usr/bin/touch", sys.argv[1] + "/second"], [], null)
print(first.pid, second.pid, flush=True)
sys.stdin.read()
"""


def test_V5_a_killed_parent_leaves_no_program(tmp_path: Path) -> None:
    """The pid is written down before release(): what nobody has written down never runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        assert parent.stdout
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(map(lives, pids))
    finally:
        parent.kill()
        parent.communicate()
    for pid in pids:
        wait_until(lambda pid=pid: not lives(pid), "the child to end")  # type: ignore[misc]
    assert os.listdir(tmp_path) == []


def test_C5_no_lock_lives_on_in_a_child_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with open(path, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with waiting("/bin/true") as child:
            held.close()

            def is_free() -> bool:
                with open(path) as other:
                    try:
                        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        return False
                return True

            wait_until(is_free, "the child to close what it does not need")
            assert child.ended() == ""


@contextmanager
def network_namespace() -> Iterator[int]:
    """One that only this descriptor keeps."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=-1, stdout=-1)
    try:
        assert holder.stdout
        holder.stdout.readline()
        descriptor = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY)
    finally:
        holder.kill()
        holder.communicate()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@NEEDS_ROOT
def test_the_network_namespace_is_the_childs_alone() -> None:
    ours = os.readlink("/proc/self/ns/net")
    with network_namespace() as descriptor, socket.socket(socket.AF_UNIX) as listener:
        facts = facts_of([listener.fileno()], network_namespace=descriptor)
        assert facts["network"] == f"net:[{os.fstat(descriptor).st_ino}]" != ours
        assert list(facts["links"]) == ["0", "1", "2", "3"]
    assert os.readlink("/proc/self/ns/net") == ours


def test_what_is_no_network_namespace_is_said() -> None:
    with open("/dev/null") as null, waiting("/bin/true", network_namespace=null.fileno()) as child:
        with pytest.raises(StateError, match="it could not be started: Invalid argument"):
            child.release()
