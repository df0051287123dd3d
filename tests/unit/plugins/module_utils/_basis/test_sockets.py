# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host, sockets
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.syscalls import setns
from ansible_collections.sandboxed.containers.tests.lab.processes import state, wait_until

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

LISTEN = """
import os, socket, sys, time
os.chdir(sys.argv[1])
one = socket.socket(socket.AF_UNIX)
one.bind(sys.argv[2])
one.listen()
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def listener(*arguments: str, prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([*prefix, sys.executable, "-c", LISTEN, *arguments], stdout=subprocess.PIPE)
    try:
        assert child.stdout and child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@contextmanager
def bound(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.bind(str(path))
        yield one


@pytest.fixture(params=["disk", "tmpfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The kernel's answer encodes device numbers in its own way: seen only where the major number is not 0."""
    if request.param == "disk":
        yield tmp_path
        return
    if os.geteuid() != 0:
        pytest.skip("needs root")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def absent(look: sockets.Listeners) -> bool | None:
    """What absence looks like: without root other namespaces cannot be asked."""
    return None if look.unreadable else False


def whole_look() -> sockets.Listeners:
    """A look that root had at all: some process of the host may just be on its way out, and hide its namespace."""
    looks = []

    def is_whole() -> bool:
        looks.append(sockets.listeners())
        return not looks[-1].unreadable

    wait_until(is_whole, "every namespace to be readable")
    return looks[-1]


def test_B2_a_listener_and_what_it_leaves(place: Path) -> None:
    path = place / "a.sock"
    with bound(path) as one:
        look = sockets.listeners()
        assert look.listening(str(path)) is absent(look)
        assert look.bound(str(path)) is True
        one.listen()
        assert sockets.listeners().listening(str(path)) is True
    look = sockets.listeners()
    assert look.listening(str(path)) is absent(look)
    assert look.bound(str(path)) is absent(look)
    path.unlink()
    assert sockets.listeners().listening(str(path)) is False


def test_B2_a_datagram_socket_is_bound(place: Path) -> None:
    path = place / "log"
    with bound(path, socket.SOCK_DGRAM):
        look = sockets.listeners()
        assert look.bound(str(path)) is True
        assert look.listening(str(path)) is absent(look)


def test_an_accepted_connection_outlives_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with bound(path) as one:
        one.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            served, _address = one.accept()
            with served:
                one.close()
                look = sockets.listeners()
                assert look.bound(str(path)) is True
                assert look.listening(str(path)) is absent(look)


def test_a_connection_counts_from_connect_on_and_until_it_is_closed(tmp_path: Path) -> None:
    """A server that is slow to accept has a client all the same, which the kernel does not show as a socket yet."""
    path = tmp_path / "a.sock"

    def connections() -> int:
        return sum(one.connections for one in sockets.listeners().at(sockets.socket_inodes(str(path))))

    with bound(path) as server:
        server.listen()
        assert connections() == 0
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            first.connect(str(path))
            second.connect(str(path))
            assert connections() == 2
            accepted, _name = server.accept()
            with accepted:
                assert connections() == 2
            assert connections() == 1
    assert connections() == 0


def test_B2_a_relative_bind(tmp_path: Path) -> None:
    with listener(str(tmp_path), "r.sock"):
        look = sockets.listeners()
        assert look.listening(str(tmp_path / "r.sock")) is True
        (inode,) = sockets.socket_inodes(str(tmp_path / "r.sock"))
        assert [one.name for one in look.by_inode[inode]] == ["r.sock"]


def test_B1_the_look_does_not_connect(tmp_path: Path) -> None:
    with bound(tmp_path / "a.sock") as one:
        one.listen()
        one.setblocking(False)
        assert sockets.listeners().listening(str(tmp_path / "a.sock")) is True
        with pytest.raises(BlockingIOError):
            one.accept()


def test_a_new_file_in_the_place_of_a_socket_is_not_listening(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with bound(path) as one:
        one.listen()
        path.rename(tmp_path / "moved.sock")
        path.write_text("")
        (tmp_path / "link").symlink_to("moved.sock")
        look = sockets.listeners()
        assert look.listening(str(path)) is False
        assert look.listening(str(tmp_path / "moved.sock")) is True
        assert look.listening(str(tmp_path / "link")) is False  # R6: the link is not the socket


@NEEDS_ROOT
def test_B2_a_listener_in_another_network_namespace(tmp_path: Path) -> None:
    before = os.readlink("/proc/self/ns/net")
    threads, tasks = threading.active_count(), len(os.listdir("/proc/self/task"))
    with listener(str(tmp_path), str(tmp_path / "n.sock"), prefix=("unshare", "-n")):
        assert whole_look().listening(str(tmp_path / "n.sock")) is True
    assert os.readlink("/proc/self/ns/net") == before
    assert threading.active_count() == threads
    # The kernel's side of the thread ends a moment after the join.
    wait_until(lambda: len(os.listdir("/proc/self/task")) <= tasks, "the thread to end")
    assert whole_look().listening(str(tmp_path / "n.sock")) is False


@NEEDS_ROOT
def test_B2_a_namespace_that_only_a_mount_keeps(tmp_path: Path) -> None:
    # A daemon may hold the socket of a namespace in which no process is: it entered, listened and left.
    name = tmp_path / "net ns"
    name.write_text("")
    maker = ["unshare", "-n", "mount", "--bind", "/proc/self/ns/net", str(name)]
    subprocess.run(maker, check=True)
    try:
        found: list[socket.socket] = []

        def enter() -> None:
            with open(name, "rb") as namespace:
                setns(namespace.fileno(), 0x40000000)
            one = socket.socket(socket.AF_UNIX)
            one.bind(str(tmp_path / "m.sock"))
            one.listen()
            found.append(one)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert sockets.listeners().listening(str(tmp_path / "m.sock")) is True
        found[0].close()
        assert whole_look().listening(str(tmp_path / "m.sock")) is False
    finally:
        subprocess.run(["umount", str(name)], check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter. Those of pytest are closed again by each run that begins meanwhile."""
    with tempfile.TemporaryDirectory(prefix="sbx-test-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@NEEDS_ROOT
def test_A1_without_permission_absence_is_unknown(open_folder: Path) -> None:
    code = (
        "import os, sys\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis import sockets\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "look = sockets.listeners()\n"
        "print([look.listening(path) for path in sys.argv[1:]], bool(look.unreadable))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with bound(open_folder / "here.sock") as one, bound(open_folder / "stale.sock") as stale:
        one.listen()
        stale.close()
        secret = open_folder / "secret"
        secret.mkdir(mode=0o700)
        paths = [
            str(open_folder / "here.sock"),
            str(open_folder / "stale.sock"),
            str(secret / "x"),
            str(open_folder / "none"),
        ]
        answer = subprocess.run(
            [sys.executable, "-c", code, *paths], check=True, env=environment, timeout=60, stdout=subprocess.PIPE
        )
    assert answer.stdout.decode().strip() == "[True, None, None, False] True"


@NEEDS_ROOT
def test_an_ended_leader_does_not_hide_its_namespace(tmp_path: Path) -> None:
    code = LISTEN.replace(
        "time.sleep(60)",
        "import ctypes, platform, threading\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)\n",
    )
    command = ["unshare", "-n", sys.executable, "-c", code, str(tmp_path), "half.sock"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout and child.stdout.readline()
        wait_until(lambda: state(child.pid) == "Z", "the leader to end")
        assert whole_look().listening(str(tmp_path / "half.sock")) is True
    finally:
        child.kill()
        child.communicate()


def test_many_sockets_need_many_answers(tmp_path: Path) -> None:
    held = []
    try:
        for number in range(600):
            one = socket.socket(socket.AF_UNIX)
            held.append(one)
            one.bind(str(tmp_path / f"{number}.sock"))
            one.listen()
        look = sockets.listeners()
        names = {one.name for bound in look.by_inode.values() for one in bound if one.listening}
        assert {str(tmp_path / f"{number}.sock") for number in range(600)} <= names
    finally:
        for one in held:
            one.close()


def test_A6_an_abstract_name_is_unknown_where_a_namespace_was_not_asked() -> None:
    assert sockets.Listeners([], ()).has_abstract("x") is False
    assert sockets.Listeners([], ("hidden",)).has_abstract("x") is None
    assert sockets.Listeners([sockets.Bound(None, "x", True)], ("hidden",)).has_abstract("x") is True


def test_B2_a_look_that_breaks_off_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(sockets, "_ask", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    assert "the look at the network namespaces broke off" in sockets.listeners().unreadable


class Answer:
    """A netlink socket that has one answer: a DONE message with these flags."""

    def __init__(self, mark: int) -> None:
        self.data = sockets._HEADER.pack(20, sockets._NLMSG_DONE, mark, 1, 0) + bytes(4)

    def recvmsg(self, _size: int) -> tuple[bytes, list[Any], int, None]:
        return self.data, [], 0, None


def test_B2_an_interrupted_dump_is_no_answer() -> None:
    answers: list[Any] = [Answer(0), Answer(sockets._NLM_F_DUMP_INTR)]
    assert [sockets._receive(one) for one in answers] == [[], None]


@NEEDS_ROOT
def test_B2_only_the_namespace_that_is_named_is_asked(tmp_path: Path) -> None:
    """Its process has moved: what is in the new one says nothing of the old one, which another path may lead to."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "a.sock"))
        one.listen()
        assert sockets._ask("net:[1]", [f"/proc/{os.getpid()}/ns/net"]) == []
        assert sockets._ask(os.readlink("/proc/self/ns/net"), []) != []


def test_B5_a_socket_is_also_looked_for_by_its_superblocks_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """btrfs and some overlays show another device in st_dev than the kernel's answer has."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "a.sock"))
    status = (tmp_path / "a.sock").stat()
    other = host.Superblock(status.st_dev + 1, "btrfs", ())
    monkeypatch.setattr(sockets, "superblock_of", lambda _descriptor: other)
    number = status.st_ino & 0xFFFFFFFF
    assert sockets.socket_inodes(str(tmp_path / "a.sock")) == {(status.st_dev, number), (other.device, number)}
