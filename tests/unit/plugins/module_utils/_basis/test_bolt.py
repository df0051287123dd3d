# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import bolt
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.bolt import Bucket, read_database
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_bolt import (
    BRANCH,
    FREELIST,
    LEAF,
    Tree,
    Writer,
    database,
    flipped,
    meta_page,
    packed,
)

SMALL: Tree = {b"v1": {b"one": {b"containers": {b"a": {b"x": b"1"}, b"b": {}}}, b"version": b"3"}}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with open_given(str(tmp_path)) as one:
        yield one


def everything(bucket: Bucket) -> Tree:
    """The whole database as nested dictionaries."""
    return {
        entry.key: everything(bucket.nested(entry)) if entry.is_bucket else entry.value for entry in bucket.entries()
    }


def put(directory: Directory, data: bytes) -> None:
    Path(directory.path, "db").write_bytes(data)


def read_back(directory: Directory, data: bytes) -> Tree | None:
    put(directory, data)
    return read_database(directory, "db", everything)


def many(count: int, size: int = 1) -> Tree:
    return {b"key-%06d" % number: b"v" * size for number in range(count)}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ({}, {}),
        ({b"a": b""}, {}),
        (SMALL, {}),
        (SMALL, {"inline": False}),
        (many(3), {}),
        (many(500), {"entries": 4}),
        (many(100), {"entries": 1000}),
        (many(3, size=30000), {}),
        (many(300, size=10), {"entries": 300}),
        ({b"k" * 9000: b"v", b"l" * 9000: b"w"}, {"entries": 2}),
        ({b"x": many(200), b"y": many(200)}, {"entries": 5}),
        (many(100), {"page_size": 1024}),
        (many(100), {"page_size": 16384, "entries": 50}),
        (many(100), {"page_size": 65536, "entries": 50}),
        (SMALL, {"page_size": 16 << 20}),
    ],
    ids=[
        "empty", "empty value", "small", "nothing inline", "one leaf", "branches", "one full leaf",
        "overflow of values", "overflow of entries", "overflow of keys", "two trees",
        "pages of 1 KiB", "pages of 16 KiB", "pages of 64 KiB", "pages of 16 MiB",
    ],
)  # fmt: skip
def test_A5_all_is_read(directory: Directory, content: Tree, options: dict[str, Any]) -> None:
    assert read_back(directory, database(content, **options)) == content


def test_A5_the_newer_meta_page_counts_in_either_place(directory: Directory) -> None:
    for transaction in (6, 7):
        writer = Writer()
        old, new = writer.tree({b"old": b""}), writer.tree({b"new": b""})
        assert read_back(directory, writer.file(new, transaction, old)) == {b"new": b""}


@pytest.mark.parametrize("page_size", [1024, 4096, 65536])
@pytest.mark.parametrize("transaction", [6, 7])
def test_A5_a_meta_page_that_was_cut_by_a_crash_leaves_the_one_before(
    directory: Directory, transaction: int, page_size: int
) -> None:
    writer = Writer(page_size)
    old, new = writer.tree({b"old": b""}), writer.tree({b"new": b""})
    data = bytearray(writer.file(new, transaction, old))
    torn = (transaction % 2) * page_size + 16 + 40
    data[torn : torn + 8] = b"\xff" * 8
    assert read_back(directory, bytes(data)) == {b"old": b""}


def test_promise_7_absent_is_none(directory: Directory) -> None:
    assert read_database(directory, "db", everything) is None


def metas(first: bytes, second: bytes) -> bytes:
    return first.ljust(4096, b"\0") + second.ljust(4096, b"\0") + packed(2, LEAF, []).ljust(4096, b"\0")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"\0" * 20000, "it is not a bbolt database"),
        (b"SQLite format 3\0" * 1000, "it is not a bbolt database"),
        (b"x", "it is not a bbolt database"),
        (database({})[:79], "both of its meta pages are damaged"),
        (metas(meta_page(0, 4096, 2, 3, 0, 3), meta_page(1, 4096, 2, 3, 1, 3)), "its format has version 3"),
        (metas(meta_page(0, 4096, 2, 3, 0), meta_page(1, 8192, 2, 3, 1)), "differ in the size of a page"),
        (metas(meta_page(0, 4096, 2, 3, 0), meta_page(1, 4096, 2, 3, 2)), "its meta page 1 is damaged"),
        (metas(meta_page(1, 4096, 2, 3, 0), meta_page(1, 4096, 2, 3, 1)), "its meta page 0 is damaged"),
        (metas(meta_page(0, 5000, 2, 3, 0), meta_page(1, 5000, 2, 3, 1)), "its meta page 0 is damaged"),
        (metas(meta_page(0, 1 << 30, 2, 3, 0), meta_page(1, 1 << 30, 2, 3, 1)), "its meta page 0 is damaged"),
        (metas(meta_page(0, 4096, 0, 3, 0), meta_page(1, 4096, 0, 3, 1)), "its meta page 0 is damaged"),
        (metas(meta_page(0, 4096, 3, 3, 0), meta_page(1, 4096, 3, 3, 1)), "its meta page 0 is damaged"),
        (metas(meta_page(0, 4096, 2**60, 2**61, 0), meta_page(1, 4096, 2**60, 2**61, 1)), "its meta page 0 is damaged"),
        (metas(meta_page(0, 4096, 9, 99, 0), meta_page(1, 4096, 9, 99, 1)), "it ends in page 9"),
    ],
)  # fmt: skip
def test_promise_7_what_is_no_whole_database_is_unreadable(directory: Directory, data: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_back(directory, data)
    assert why in caught.value.why
    assert caught.value.where == f"{directory.path}/db"


def root_page(page: bytes, *more: bytes, size: int = 4096) -> bytes:
    """A database whose root is page 2, as given, followed by more pages."""
    pages = [page, *more]
    both = (meta_page(0, size, 2, len(pages) + 2, 0), meta_page(1, size, 2, len(pages) + 2, 1))
    return b"".join(one.ljust(size, b"\0") for one in (*both, *pages))


ROWS = [(0, b"a", b"1"), (0, b"b", b"2")]


def changed(page: bytes, at: int, layout: str, value: int) -> bytes:
    data = bytearray(page)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


def in_bucket(value: bytes, *more: bytes) -> bytes:
    """A database with one bucket of this value."""
    return root_page(packed(2, LEAF, [(1, b"a", value)]), *more)


def branch(*children: tuple[int, bytes]) -> bytes:
    return packed(2, BRANCH, [(page, key, b"") for page, key in children])


LEAF_2 = packed(2, LEAF, ROWS)
LEAF_3 = packed(3, LEAF, ROWS)
INLINE = struct.pack("=QQ", 0, 0)
PAGE_3 = struct.pack("=QQ", 3, 0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (root_page(LEAF_3), "page 2 is no page of a tree"),
        (root_page(packed(2, FREELIST, ROWS)), "page 2 is no page of a tree"),
        (root_page(packed(2, BRANCH | LEAF, ROWS)), "page 2 is no page of a tree"),
        (root_page(packed(2, LEAF, ROWS, overflow=1)), "page 2 is no page of a tree"),
        (root_page(packed(2, LEAF, ROWS, overflow=0xFFFFFFFF)), "page 2 is no page of a tree"),
        (root_page(changed(LEAF_2, 10, "=H", 1)), "an entry is not where it should be"),
        (root_page(changed(LEAF_2, 10, "=H", 3)), "an entry is not where it should be"),
        (root_page(changed(LEAF_2, 10, "=H", 0xFFFF)), "more entries (65535) than fit"),
        (root_page(changed(LEAF_2, 16 + 4, "=I", 99)), "an entry is not where it should be"),
        (root_page(changed(LEAF_2, 16 + 8, "=I", 0)), "an entry is not where it should be"),
        (root_page(changed(LEAF_2, 16 + 8, "=I", 2**32 - 1)), "an entry is not where it should be"),
        (root_page(changed(LEAF_2, 16 + 12, "=I", 2**32 - 1)), "an entry is not where it should be"),
        (root_page(changed(LEAF_2, 16, "=I", 2)), "neither a value nor a bucket"),
        (root_page(packed(2, LEAF, ROWS[::-1])), "the key b'a' is out of order"),
        (root_page(packed(2, LEAF, [ROWS[0], ROWS[0]])), "the key b'a' is out of order"),
        (root_page(branch()), "page 2 has no place in a tree"),
        (root_page(branch((3, b"a")), packed(3, LEAF, [])), "page 3 has no place in a tree"),
        (root_page(branch((2, b"a"))), "page 2 has no place in a tree"),
        (root_page(branch((3, b"a"), (3, b"b")), LEAF_3), "the key b'b' is out of order"),
        (root_page(branch((3, b"b")), LEAF_3), "the key b'a' is out of order"),
        (root_page(branch((3, b"b"), (4, b"a")), LEAF_3), "page 2 is out of order"),
        (root_page(branch((3, b"b")), packed(3, BRANCH, [(4, b"a", b"")])), "page 3 is out of order"),
        (root_page(branch((9, b"a"))), "page 9 is none of its 3 pages"),
        (root_page(branch((0, b"a"))), "page 0 is none of its 3 pages"),
        (in_bucket(b""), "the key b'a' is no bucket"),
        (in_bucket(INLINE), "an inline bucket is cut"),
        (in_bucket(struct.pack("=QQ", 9, 0)), "page 9 is none"),
        (in_bucket(struct.pack("=QQ", 2, 0)), "page 2 belongs to two buckets"),
        (in_bucket(PAGE_3 + b"x"), "has two places"),
        (in_bucket(INLINE + packed(0, LEAF, []) + b"x"), "another size"),
        (in_bucket(INLINE + changed(packed(0, LEAF, ROWS), 10, "=H", 0)), "another size"),
        (in_bucket(INLINE + packed(0, BRANCH, [])), "is no leaf"),
        (in_bucket(INLINE + packed(3, LEAF, [])), "is no leaf"),
        (in_bucket(PAGE_3, packed(3, LEAF, [])), "has no place in a tree"),
    ],
)
def test_promise_7_a_damaged_page_is_unreadable(directory: Directory, data: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_back(directory, data)
    assert why in caught.value.why


def test_promise_7_a_plain_value_is_not_taken_for_a_missing_bucket(directory: Directory) -> None:
    put(directory, database({b"v1": b"text"}))
    with pytest.raises(Unreadable, match="is no bucket"):
        read_database(directory, "db", lambda root: root.bucket(b"v1"))
    assert read_database(directory, "db", lambda root: root.bucket(b"v2") is None) is True


def test_B6_a_chain_of_branches_ends(directory: Directory) -> None:
    """A branch with one child, that has one child, and so on: no key tells that it never ends."""
    chain = [packed(number, BRANCH, [(number + 1, b"a", b"")]) for number in range(2, 90)]
    with pytest.raises(Unreadable, match="has no place in a tree"):
        read_back(directory, root_page(*chain, packed(90, LEAF, ROWS)))


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_B6_only_a_plain_file_is_opened(directory: Directory, kind: str) -> None:
    path = Path(directory.path, "db")
    Path(directory.path, "target").write_bytes(database({}))
    makers: dict[str, Callable[[], Any]] = {
        "fifo": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to("target"),
        "directory": path.mkdir,
    }
    makers[kind]()
    with pytest.raises(Unreadable, match="not a plain file"):
        read_database(directory, "db", everything)


@pytest.mark.long
def test_B6_only_the_pages_that_are_asked_for_are_read(directory: Directory) -> None:
    """A file of 4 GiB (sparse) with a page of 60 MiB, of which nobody wants to know anything."""
    writer = Writer()
    root = writer.tree({b"small": {b"a": b"1"}, b"large": {b"blob": {b"b": b"x" * (60 << 20)}}})
    writer.next = 1 << 20
    with open(Path(directory.path, "db"), "wb") as target:
        target.write(b"".join(meta_page(n, 4096, root, writer.next, n).ljust(4096, b"\0") for n in (0, 1)))
        for number, page in writer.pages.items():
            target.seek(number * 4096)
            target.write(page)
        target.truncate(writer.next * 4096)
    writer.pages.clear()
    tracemalloc.start()
    assert read_database(directory, "db", lambda root: everything(root.bucket(b"small") or root)) == {b"a": b"1"}
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    with pytest.raises(Unreadable, match="more than 67108864 bytes of it would have to be read"):
        read_database(directory, "db", lambda root: [everything(root) for _again in range(2)])


def test_C1_no_lock_is_taken_and_none_is_waited_for(directory: Directory) -> None:
    put(directory, database(SMALL))
    with open(Path(directory.path, "db"), "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def look(root: Bucket) -> Tree:
            # Whoever has the file open would show in /proc/locks; our own descriptor has no lock.
            with open(Path(directory.path, "db"), "rb") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(held, fcntl.LOCK_UN)
            with open(Path(directory.path, "db"), "rb") as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return everything(root)

        assert read_database(directory, "db", look) == SMALL


class Changing:
    """Looks at a database, and is overtaken by a writer each of the first few times."""

    def __init__(self, directory: Directory, times: int) -> None:
        self.path = Path(directory.path, "db")
        self.times = times
        self.looks = 0

    def __call__(self, root: Bucket) -> Tree:
        self.looks += 1
        found = everything(root)
        if self.looks <= self.times:
            self.commit(self.looks)
        return found

    def commit(self, number: int) -> None:
        """What a commit does: the pages, then the one meta page whose turn it is."""
        writer = Writer()
        writer.tree({})  # page 2 stays what it was
        root = writer.tree({b"state": b"%d" % number})
        with open(self.path, "rb+") as target:
            for page, data in writer.pages.items():
                target.seek(page * 4096)
                target.write(data)
            transaction = 7 + number
            target.seek(transaction % 2 * 4096)
            target.write(meta_page(transaction % 2, 4096, root, writer.next, transaction))


def test_A5_a_writer_that_overtakes_us_makes_us_read_again(directory: Directory) -> None:
    put(directory, database({b"state": b"0"}))
    look = Changing(directory, 3)
    assert read_database(directory, "db", look) == {b"state": b"3"}
    assert look.looks == 4


def test_A5_a_writer_that_never_rests_is_unreadable(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bolt, "_PAUSE", 0.0)
    put(directory, database({b"state": b"0"}))
    look = Changing(directory, 10**9)
    with pytest.raises(Unreadable, match="it was written to during each of 12 attempts to read it"):
        read_database(directory, "db", look)
    assert look.looks == 12


def test_A5_damage_seen_while_a_writer_works_is_no_verdict(directory: Directory) -> None:
    """A page that was used again after our look at the meta page is not damage."""
    put(directory, database({b"state": b"0"}))
    tries = []

    def look(root: Bucket) -> Tree:
        tries.append(1)
        if len(tries) == 1:
            Changing(directory, 1).commit(1)
            raise Unreadable("here", "a page of the next transaction")
        return everything(root)

    assert read_database(directory, "db", look) == {b"state": b"1"}


def answers(directory: Directory, data: bytes) -> Tree | str | None:
    """What a file says, or why it says nothing; everything else is a failure of the test."""
    try:
        return read_back(directory, data)
    except Unreadable as error:
        return str(error)


@pytest.mark.parametrize("bits", [range(1), pytest.param(range(1, 8), marks=pytest.mark.long)], ids=["a bit", "all"])
def test_promise_7_a_flipped_bit_is_no_traceback(directory: Directory, bits: range) -> None:
    """Every bit of a small file, but for those between the end of a page's content and the next page."""
    content: Tree = {b"v1": {b"ns": {b"containers": many(9), b"sandboxes": {b"s-1": {}}}}, b"v2": many(2)}
    whole = database(content, page_size=1024, entries=4)
    found = [answers(directory, data) for data in flipped(whole, 1024, bits)]
    assert sum(isinstance(one, str) for one in found) > len(found) // 2


def test_promise_7_buckets_are_not_nested_without_an_end(directory: Directory) -> None:
    value = INLINE + packed(0, LEAF, [])
    for _level in range(40):
        value = INLINE + packed(0, LEAF, [(1, b"a", value)])
    with pytest.raises(Unreadable, match="its buckets are nested without an end"):
        read_back(directory, in_bucket(value))


def test_promise_7_a_cut_file_is_never_an_empty_list(directory: Directory) -> None:
    content: Tree = {b"v1": {b"ns": {b"containers": many(9), b"sandboxes": {b"s-1": {}}}}}
    whole = database(content, page_size=1024, entries=4)
    used = len(whole) - len(whole) % 1024
    for size in (*range(0, used, 37), *range(1023, used, 1024)):
        found = answers(directory, whole[:size])
        assert isinstance(found, str) or found == content, f"{size} bytes"
    assert isinstance(answers(directory, whole[: used // 2]), str)


@pytest.mark.long
def test_promise_7_a_page_of_noise_is_no_traceback(directory: Directory) -> None:
    """Pages of another database, of other kinds and of noise in the place of each page."""
    content: Tree = {b"v1": {b"ns": {b"containers": many(40)}}}
    whole = database(content, page_size=1024, entries=4)
    noise = [bytes((7 * at + at // 9) % 256 for at in range(1024)), b"\xff" * 1024, b"\0" * 1024]
    others = [whole[at : at + 1024] for at in range(0, len(whole), 1024)]
    for at in range(2048, len(whole), 1024):
        for page in (*noise, *others):
            found = answers(directory, whole[:at] + page + whole[at + 1024 :])
            assert isinstance(found, str) or found == content, f"page {at // 1024}"
