# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InvalidInput,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.listening import (
    check_socket_path,
    kernel_number,
    listen_at,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Directory]:
    with open_given(str(tmp_path)) as directory:
        yield directory


def test_it_listens_and_programs_do_not_inherit_it_by_chance(tmp_path: Path, place: Directory) -> None:
    with listen_at(place, "a.sock") as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "a.sock"))
        served, _address = listener.accept()
        served.close()
        assert listener.getsockname() == str(tmp_path / "a.sock")
        assert not listener.get_inheritable()
        assert os.readlink(f"/proc/self/fd/{listener.fileno()}") == f"socket:[{kernel_number(listener)}]"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_the_mode_is_the_usual_one_whatever_the_umask(tmp_path: Path, place: Directory, umask: int) -> None:
    before = os.umask(umask)
    try:
        listen_at(place, "a.sock").close()
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o755


@NEEDS_ROOT
def test_the_owner_is_that_of_the_directory(tmp_path: Path, place: Directory) -> None:
    """The VMM, which is not root, has to connect (kata#2542)."""
    os.chown(tmp_path, 12345, 23456)
    listen_at(place, "a.sock").close()
    status = (tmp_path / "a.sock").stat()
    assert (status.st_uid, status.st_gid) == (12345, 23456)


@NEEDS_ROOT
def test_V8_a_link_in_its_place_is_not_followed(
    tmp_path: Path, place: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the directory can put one there between bind and the change of the owner."""
    victim = tmp_path / "victim"
    victim.touch()
    os.chown(tmp_path, 12345, 12345)
    bind = socket.socket.bind

    class Exchanging(socket.socket):
        def bind(self, address: object) -> None:
            bind(self, address)  # type: ignore[arg-type]
            (tmp_path / "a.sock").rename(tmp_path / "b.sock")
            (tmp_path / "a.sock").symlink_to(victim)

    monkeypatch.setattr(socket, "socket", Exchanging)
    listen_at(place, "a.sock").close()
    assert victim.stat().st_uid == 0
    assert (tmp_path / "a.sock").lstat().st_uid == 12345


def test_a_directory_that_was_moved_meanwhile_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with open_given(str(tmp_path / "a")) as directory:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
        with pytest.raises(WriteFailed, match="the socket could not be made: No such file or directory"):
            listen_at(directory, "a.sock").close()
    assert os.listdir(tmp_path / "b") == []


@pytest.mark.parametrize("kind", ["file", "socket", "listening", "link"])
def test_what_is_there_is_left_alone(tmp_path: Path, place: Directory, kind: str) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "file":
            path.write_text("precious")
        elif kind == "link":
            path.symlink_to("nowhere")
        else:
            other.bind(str(path))
        if kind == "listening":
            other.listen()
        before = path.lstat()
        with pytest.raises(AlreadyExists) as refused:
            listen_at(place, "a.sock")
        assert str(refused.value) == f"{path}: something came there meanwhile. Run again."
        assert path.lstat() == before and os.listdir(tmp_path) == ["a.sock"]


def test_nothing_is_left_of_a_failure(tmp_path: Path, place: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(socket.socket):
        def listen(self, *backlog: int) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(socket, "socket", Failing)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(WriteFailed) as failed:
        listen_at(place, "a.sock")
    why = "the socket could not be made: No space left on device. Nothing was started."
    assert str(failed.value) == f"{tmp_path}/a.sock: {why}"
    assert os.listdir(tmp_path) == [] and len(os.listdir("/proc/self/fd")) == before


def test_a_directory_that_may_not_be_written_is_said(place: Directory) -> None:
    with open_given("/proc/self") as directory, pytest.raises(WriteFailed, match="the socket could not be made: "):
        listen_at(directory, "a.sock")


def path_of(folder: Path, size: int, character: str) -> str:
    """A path that has exactly that many bytes."""
    count, rest = divmod(size - len(os.fsencode(folder)) - 1, len(os.fsencode(character)))
    return f"{folder}/{character * count}{'x' * rest}"


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory in which 107 bytes are enough for some name."""
    with tempfile.TemporaryDirectory(prefix="unit-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.parametrize("character", ["x", "ä", "€"], ids=["one byte", "two", "three"])
def test_a_path_of_107_bytes_is_the_longest(short: Path, character: str) -> None:
    """The check and the kernel agree, also on what is no ASCII."""
    longest, longer = path_of(short, 107, character), path_of(short, 108, character)
    with open_given(str(short)) as directory:
        check_socket_path(longest, "socket_path")
        with listen_at(directory, os.path.basename(longest)) as listener:
            assert listener.getsockname() == longest
        with pytest.raises(InvalidInput) as refused:
            check_socket_path(longer, "socket_path")
        text = f"socket_path: '{longer}' has 108 bytes, and the path of a socket has at most 107. Give a shorter one."
        assert str(refused.value) == text
        with socket.socket(socket.AF_UNIX) as other, pytest.raises(OSError, match="AF_UNIX path too long"):
            other.bind(longer)
        assert os.listdir(short) == [os.path.basename(longest)]


def test_a_short_path_may_lead_through_a_link_to_a_long_one(short: Path) -> None:
    (short / ("d" * 120)).mkdir()
    (short / "link").symlink_to("d" * 120)
    check_socket_path(str(short / "link/a.sock"), "socket_path")
    with open_given(str(short / "link")) as directory:
        with listen_at(directory, "a.sock"), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(short / "link/a.sock"))
