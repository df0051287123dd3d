# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a bbolt database while its owner writes to it: no lock is taken, and no part of an old state is believed.

The format is that of go.etcd.io/bbolt, version 2, in the byte order of the host: pages of one size; two meta pages,
written by turns, of which the valid one with the higher transaction id counts; a B+tree of branch and leaf pages for
each bucket; small buckets inline in the leaf of their parent. A writer puts new pages only where the newest committed
transaction has none, and the meta page last. So what was read is whole if the meta pages are still the same afterwards.

Only the meta pages have a checksum. Whatever else can be verified is: bbolt writes the elements of a page without gaps
and in order, so that a count or a size that is wrong shows, and nothing is left out of a list (promise 7).

Private to the collection: no promise of stability for others.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple, TypeVar

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import (
    MOST_BYTES,
    look,
    open_known_file,
)

T = TypeVar("T")

_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META = 0x01, 0x02, 0x04
_BUCKET = 0x01
_SIZES = tuple(1024 << shift for shift in range(15))  # all that bbolt itself looks for
_LARGEST = 1 << 62  # bytes; far above what a file can have
_DEEPEST = 32  # a tree of 2^32 pages whose branches have only two children each

_PAGE = struct.Struct("=QHHI")  # id, flags, count, overflow
_META_BODY = struct.Struct("=IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, high water, txid
_CHECKSUM = struct.Struct("=Q")
_LEAF_ELEMENT = struct.Struct("=IIII")  # flags, position, key size, value size
_BRANCH_ELEMENT = struct.Struct("=IIQ")  # position, key size, page id
_BUCKET_HEADER = struct.Struct("=QQ")  # root page, 0: inline; sequence
_META_BYTES = _PAGE.size + _META_BODY.size + _CHECKSUM.size

_TRIES = 12
_PAUSE = 0.004  # seconds, more before each further try: half a second in all


class Entry(NamedTuple):
    """A key of a bucket, with a plain value or the nested bucket that is_bucket says."""

    key: bytes
    value: bytes
    is_bucket: bool


class Bucket:
    """A bucket of one transaction. Valid only while read_database runs."""

    def __init__(self, pages: _Pages, root: int, inline: bytes = b"", path: tuple[bytes, ...] = ()) -> None:
        self._pages = pages
        self._root = root
        self._inline = inline
        self._path = path

    def entries(self) -> Iterator[Entry]:
        """All keys in their order. Raises Unreadable, also after some of them."""
        if self._root:
            return self._pages.walk(self._root, self._path)
        return self._pages.inline(self._inline)

    def nested(self, entry: Entry) -> Bucket:
        """The bucket that an entry of this one stands for. Raises Unreadable where it is a plain value."""
        if not entry.is_bucket or len(entry.value) < _BUCKET_HEADER.size:
            raise self._pages.damaged(f"the key {entry.key[:64]!r} is no bucket")
        if len(self._path) == _DEEPEST:
            raise self._pages.damaged("its buckets are nested without an end")
        root, _sequence = _BUCKET_HEADER.unpack_from(entry.value)
        if root and len(entry.value) != _BUCKET_HEADER.size:
            raise self._pages.damaged(f"the bucket {entry.key[:64]!r} has two places")
        return Bucket(self._pages, root, entry.value[_BUCKET_HEADER.size :], (*self._path, entry.key))

    def bucket(self, key: bytes) -> Bucket | None:
        """The nested bucket of that name; None where there is no such key. Raises Unreadable."""
        found = None
        for entry in self.entries():  # to the end, although it was found: the whole list is verified
            if entry.key == key:
                found = self.nested(entry)
        return found


def read_database(directory: Directory, name: str, query: Callable[[Bucket], T]) -> T | None:
    """What `query` makes of the root bucket, from one committed transaction; None when the file is absent.

    query may be called several times, as long as somebody writes at the same time, and must not keep the bucket.
    No lock is taken: the owner of the database waits for nothing, and one that holds it is not waited for.
    Raises Unreadable for all that is not proved to be whole; never an empty answer instead.
    """
    where = directory.join(name)
    facts = look(directory, name)
    descriptor = open_known_file(directory, name, facts) if facts is not None else None
    if descriptor is None:
        return None
    try:
        for attempt in range(_TRIES):
            time.sleep(_PAUSE * attempt)
            metas = _Metas.read(descriptor, where)
            failure: Unreadable | None = None
            try:
                pages = _Pages(descriptor, where, metas.newest())
                found = query(Bucket(pages, pages.meta.root))
            except Unreadable as error:
                failure = error
            if metas == _Metas.read(descriptor, where):
                if failure is not None:
                    raise failure
                return found
        raise Unreadable(where, f"it was written to during each of {_TRIES} attempts to read it")
    except OSError as error:
        raise Unreadable(where, os_reason(error)) from error
    finally:
        os.close(descriptor)


class _Meta(NamedTuple):
    """A valid meta page."""

    page_size: int
    root: int
    high_water: int
    transaction: int


class _Metas(NamedTuple):
    """Both meta pages as they are in the file; one of them may be cut by a crash, or half written just now."""

    where: str
    first: bytes
    second: bytes

    @classmethod
    def read(cls, descriptor: int, where: str) -> _Metas:
        first = os.pread(descriptor, _META_BYTES, 0)
        meta = _valid(first, 0, where)
        second = b""
        # Where the first one is not valid, the second one is found only by trying: that is how bbolt does it.
        for size in (meta.page_size,) if meta else _SIZES:
            second = os.pread(descriptor, _META_BYTES, size)
            other = _valid(second, 1, where)
            if other is not None and other.page_size == size:
                break
        return cls(where, first, second)

    def newest(self) -> _Meta:
        """The meta page that counts. Raises Unreadable."""
        found = [_valid(self.first, 0, self.where), _valid(self.second, 1, self.where)]
        valid = [meta for meta in found if meta is not None]
        if not valid:
            if not self.first:
                raise Unreadable(self.where, "it is empty")
            magic = [_magic(page) for page in (self.first, self.second)]
            known = "both of its meta pages are damaged" if _MAGIC in magic else "it is not a bbolt database"
            raise Unreadable(self.where, known)
        if len({meta.page_size for meta in valid}) > 1:
            raise Unreadable(self.where, "its two meta pages differ in the size of a page")
        return max(valid, key=lambda meta: meta.transaction)


def _magic(page: bytes) -> int:
    return struct.unpack_from("=I", page, _PAGE.size)[0] if len(page) >= _PAGE.size + 4 else 0


def _valid(page: bytes, number: int, where: str) -> _Meta | None:
    """The meta page, or None where its checksum tells that it is damaged. Raises Unreadable for what we do not know."""
    if len(page) < _META_BYTES:
        return None
    body = page[_PAGE.size : _PAGE.size + _META_BODY.size]
    magic, version, size, _flags, root, _sequence, _freelist, high_water, transaction = _META_BODY.unpack(body)
    if magic != _MAGIC or _fnv64a(body) != _CHECKSUM.unpack_from(page, _PAGE.size + _META_BODY.size)[0]:
        return None
    if version != _VERSION:
        raise Unreadable(where, f"its format has version {version}; only version {_VERSION} is known")
    own, flags, _count, _overflow = _PAGE.unpack_from(page)
    # The other page would be an older state, perhaps with pages that are used again: it is not taken in place of this.
    known = own == number and flags == _META and transaction % 2 == number and size in _SIZES
    if not known or not 2 <= root < high_water or high_water * size > _LARGEST:
        raise Unreadable(where, f"its meta page {number} is damaged")
    return _Meta(size, root, high_water, transaction)


def _fnv64a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


class _Pages:
    """The pages of one transaction: each is bounded and verified, and no more of them are read than 64 MiB."""

    def __init__(self, descriptor: int, where: str, meta: _Meta) -> None:
        self.meta = meta
        self._descriptor = descriptor
        self._where = where
        self._left = MOST_BYTES
        self._owners: dict[int, tuple[bytes, ...]] = {}

    def damaged(self, why: str) -> Unreadable:
        return Unreadable(self._where, f"it is damaged: {why}")

    def walk(self, number: int, path: tuple[bytes, ...]) -> Iterator[Entry]:
        """The entries of the tree below a page, in order. path: the bucket's, to which all these pages belong."""
        return self._below(number, b"", b"", path, 0)

    def inline(self, page: bytes) -> Iterator[Entry]:
        """The entries of a bucket that lies in a value of its parent."""
        if len(page) < _PAGE.size:
            raise self.damaged("an inline bucket is cut")
        own, flags, count, overflow = _PAGE.unpack_from(page)
        if own or overflow or flags != _LEAF:
            raise self.damaged("an inline bucket is no leaf")
        entries, end = self._leaf(page, count)
        if end != len(page):
            raise self.damaged("an inline bucket has another size than its entries")
        return self._ordered(entries, b"", b"")

    def _below(self, number: int, low: bytes, high: bytes, path: tuple[bytes, ...], depth: int) -> Iterator[Entry]:
        """The entries below a page; their keys are at least `low` and below `high` (empty: no bound)."""
        page, flags, count = self._read(number)
        if self._owners.setdefault(number, path) != path:
            raise self.damaged(f"page {number} belongs to two buckets")
        # Only the root of a fresh database is an empty page: bbolt takes others away, or makes them inline.
        if depth > _DEEPEST or (not count and (number != self.meta.root or flags != _LEAF)):
            raise self.damaged(f"page {number} has no place in a tree")
        if flags == _LEAF:
            yield from self._ordered(self._leaf(page, count)[0], low, high)
            return
        children = self._branch(page, count)
        if low and children[0].key < low:
            raise self.damaged(f"page {number} is out of order")
        bounds = [child.key for child in children[1:]] + [high]
        for child, bound in zip(children, bounds):
            if bound and child.key >= bound:
                raise self.damaged(f"page {number} is out of order")
            yield from self._below(child.page, child.key, bound, path, depth + 1)

    def _ordered(self, entries: list[Entry], low: bytes, high: bytes) -> Iterator[Entry]:
        before = b""
        for entry in entries:
            if entry.key <= before or entry.key < low or (high and entry.key >= high):
                raise self.damaged(f"the key {entry.key[:64]!r} is out of order")
            before = entry.key
            yield entry

    def _read(self, number: int) -> tuple[bytes, int, int]:
        """A branch or leaf page with its overflow, its flags and its count."""
        size = self.meta.page_size
        if not 2 <= number < self.meta.high_water:
            raise self.damaged(f"page {number} is none of its {self.meta.high_water} pages")
        page = self._bytes(number, size)
        own, flags, count, overflow = _PAGE.unpack_from(page)
        if own != number or flags not in (_BRANCH, _LEAF) or number + overflow >= self.meta.high_water:
            raise self.damaged(f"page {number} is no page of a tree")
        if overflow:
            page += self._bytes(number + 1, size * overflow)
        return page, flags, count

    def _bytes(self, number: int, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise Unreadable(self._where, f"more than {MOST_BYTES} bytes of it would have to be read")
        data = os.pread(self._descriptor, size, number * self.meta.page_size)
        if len(data) != size:
            raise self.damaged(f"it ends in page {number}")
        return data

    def _leaf(self, page: bytes, count: int) -> tuple[list[Entry], int]:
        """The entries of a leaf, and where its last one ends."""
        table = self._table(page, count)
        entries = []
        end = len(table) + _PAGE.size
        for place, (flags, position, key_size, value_size) in enumerate(_LEAF_ELEMENT.iter_unpack(table)):
            start, middle = end, end + key_size
            end = middle + value_size
            self._verify(page, place, position, start, key_size, end)
            if flags not in (0, _BUCKET):
                raise self.damaged("an entry is neither a value nor a bucket")
            entries.append(Entry(page[start:middle], page[middle:end], flags == _BUCKET))
        return entries, end

    def _branch(self, page: bytes, count: int) -> list[_Child]:
        table = self._table(page, count)
        children = []
        end = len(table) + _PAGE.size
        for place, (position, key_size, number) in enumerate(_BRANCH_ELEMENT.iter_unpack(table)):
            start, end = end, end + key_size
            self._verify(page, place, position, start, key_size, end)
            children.append(_Child(page[start:end], number))
        return children

    def _table(self, page: bytes, count: int) -> bytes:
        """The elements at the head of a page; those of a branch and of a leaf have the same size."""
        end = _PAGE.size + count * _LEAF_ELEMENT.size
        if end > len(page):
            raise self.damaged(f"a page has more entries ({count}) than fit into it")
        return page[_PAGE.size : end]

    def _verify(self, page: bytes, place: int, position: int, start: int, key_size: int, end: int) -> None:
        """An element says where its key is, from its own place on: that is where the one before it ended."""
        if _PAGE.size + place * _LEAF_ELEMENT.size + position != start or not key_size or end > len(page):
            raise self.damaged("an entry is not where it should be")


class _Child(NamedTuple):
    """An element of a branch: the lowest key of the tree below that page, as it was when the branch was written."""

    key: bytes
    page: int
