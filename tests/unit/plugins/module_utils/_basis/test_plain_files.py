# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import plain_files
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import write_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import (
    MOST_BYTES,
    look,
    read_file,
    read_known_file,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_files import (
    OLD,
    directory,
    make_link,
)

__all__ = ["directory"]

NEEDS_NO_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def test_promise_7_absent_is_none(directory: Directory) -> None:
    assert read_file(directory, "a") is None
    assert look(directory, "a") is None


@pytest.mark.parametrize("data", [b"", b"x", b"\0\xff" * 100_000], ids=["empty", "small", "binary"])
def test_content_is_read_whole(directory: Directory, data: bytes) -> None:
    write_file(directory, "a", data, 0o640)
    assert read_file(directory, "a") == data


@pytest.mark.parametrize("size", [0, 3, 4095, 4096, 5000])
def test_what_has_grown_or_shrunk_since_it_was_looked_at_is_read_whole(directory: Directory, size: int) -> None:
    path = Path(directory.path, "a")
    path.write_bytes(b"x" * size)
    facts = look(directory, "a")
    assert facts is not None
    for now in (size, size + 1, size + 5000, max(size - 1, 0)):
        path.write_bytes(b"y" * now)
        assert read_known_file(directory, "a", facts) == b"y" * now


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, make_link], ids=["directory", "fifo", "link"])
def test_B6_what_is_no_plain_file_is_not_opened(directory: Directory, make: object) -> None:
    make(Path(directory.path, "a"))  # type: ignore[operator]
    signal.alarm(5)  # ends the test instead of hanging
    try:
        with pytest.raises(Unreadable, match=r"/a: it is not a plain file\."):
            read_file(directory, "a")
    finally:
        signal.alarm(0)


def test_B6_a_document_over_64_MiB_is_refused_without_reading(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(directory.join("a"), "wb") as file:
        file.truncate(MOST_BYTES + 1)

    def no_read(_descriptor: int, _size: int) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(os, "read", no_read)
    with pytest.raises(Unreadable, match=f"it has {MOST_BYTES + 1} bytes, more than {MOST_BYTES}"):
        read_file(directory, "a")


def test_B6_a_file_that_grows_while_it_is_read_is_refused(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_files, "MOST_BYTES", 10)
    Path(directory.path, "a").write_bytes(b"x" * 10)
    assert read_file(directory, "a") == b"x" * 10
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    try:
        with pytest.raises(Unreadable, match="it grew beyond 10 bytes"):
            plain_files._read_all(descriptor, "here", 0)
    finally:
        os.close(descriptor)


@NEEDS_NO_ROOT
def test_promise_7_no_permission_is_unreadable_not_absent(directory: Directory) -> None:
    write_file(directory, "a", OLD, 0o000)
    with pytest.raises(Unreadable, match="Permission denied"):
        read_file(directory, "a")


def test_facts_tell_one_file_from_another(directory: Directory) -> None:
    write_file(directory, "a", OLD, 0o640)
    before = look(directory, "a")
    write_file(directory, "a", OLD, 0o640)
    after = look(directory, "a")
    assert before and after
    assert before.identity != after.identity
    assert after.size == len(OLD) and stat.S_ISREG(after.mode)
    status = os.stat(directory.join("a"))
    assert (after.ctime_ns, after.mtime_ns) == (status.st_ctime_ns, status.st_mtime_ns)


def test_promise_7_a_name_that_cannot_be_looked_at_is_not_absent(directory: Directory) -> None:
    with pytest.raises(Unreadable, match="File name too long"):
        look(directory, "x" * 256)


def test_B6_a_fifo_that_takes_the_place_of_a_file_is_not_an_empty_one(directory: Directory) -> None:
    path = Path(directory.path, "document")
    path.write_text("{}")
    facts = look(directory, "document")
    assert facts is not None
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Unreadable, match="not a plain file"):
        read_known_file(directory, "document", facts)
