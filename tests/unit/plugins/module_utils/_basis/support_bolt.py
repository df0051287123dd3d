# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small writer of bbolt files for tests, written from the format and not from our reader.

It makes what a real one makes only after much work: deep trees, overflow pages, other page sizes, two meta pages that
differ. A file of a real daemon is in fixtures, and tests/integration compares with living ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

Tree = dict[bytes, Any]  # of Tree and bytes; Any because a type cannot name itself here
MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
NO_FREELIST = 0xFFFFFFFFFFFFFFFF


def fnv64a(data: bytes) -> int:
    """The checksum of a meta page."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def meta_page(
    number: int, page_size: int, root: int, high_water: int, transaction: int, version: int = VERSION
) -> bytes:
    """A meta page with the right checksum, whatever else is wrong with it."""
    body = struct.pack("=IIIIQQQQQ", MAGIC, version, page_size, 0, root, 0, NO_FREELIST, high_water, transaction)
    return struct.pack("=QHHI", number, META, 0, 0) + body + struct.pack("=Q", fnv64a(body))


class Writer:
    """Lays out one transaction: `entries` is how many of them go into one page at most."""

    def __init__(self, page_size: int = 4096, entries: int = 8, inline: bool = True, first: int = 2) -> None:
        self.page_size = page_size
        self.entries = entries
        self.inline = inline
        self.pages: dict[int, bytes] = {}
        self.next = first

    def tree(self, content: Tree) -> int:
        """Write a bucket and all that is in it; the number of its root page."""
        rows = [self.row(key, content[key]) for key in sorted(content)]
        if not rows:
            return self.page(LEAF, [])
        level = [(group[0][1], self.page(LEAF, group)) for group in self.groups(rows)]
        while len(level) > 1:
            branches = [[(number, key, b"") for key, number in group] for group in self.groups(level)]
            level = [(group[0][1], self.page(BRANCH, group)) for group in branches]
        return level[0][1]

    def row(self, key: bytes, value: Tree | bytes) -> tuple[int, bytes, bytes]:
        if isinstance(value, bytes):
            return 0, key, value
        plain = all(isinstance(one, bytes) for one in value.values())
        if not value or (self.inline and plain and len(value) <= 3):
            rows = [(0, name, value[name]) for name in sorted(value)]
            return 1, key, struct.pack("=QQ", 0, 0) + packed(0, LEAF, rows)
        return 1, key, struct.pack("=QQ", self.tree(value), 0)

    def groups(self, rows: list[Any]) -> list[list[Any]]:
        return [rows[start : start + self.entries] for start in range(0, len(rows), self.entries)]

    def page(self, flags: int, rows: list[tuple[int, bytes, bytes]]) -> int:
        number = self.next
        data = packed(number, flags, rows)
        pages = -(-len(data) // self.page_size)
        self.pages[number] = packed(number, flags, rows, overflow=pages - 1).ljust(pages * self.page_size, b"\0")
        self.next += pages
        return number

    def file(self, root: int, transaction: int = 7, other_root: int = 0) -> bytes:
        """The whole file. The other meta page is of the transaction before; unless given, it had the same root."""
        metas = {
            number % 2: meta_page(number % 2, self.page_size, page, self.next, number)
            for number, page in ((transaction, root), (transaction - 1, other_root or root))
        }
        head = b"".join(metas[number].ljust(self.page_size, b"\0") for number in (0, 1))
        data = bytearray(head.ljust(self.next * self.page_size, b"\0"))
        for number, page in self.pages.items():
            data[number * self.page_size : number * self.page_size + len(page)] = page
        return bytes(data)


def packed(number: int, flags: int, rows: list[tuple[int, bytes, bytes]], overflow: int = 0) -> bytes:
    """A page as bbolt packs it. A row is (flags, key, value) in a leaf, (page, key, b"") in a branch."""
    table, data = b"", b""
    for place, (first, key, value) in enumerate(rows):
        position = (len(rows) - place) * 16 + len(data)
        if flags == LEAF:
            table += struct.pack("=IIII", first, position, len(key), len(value))
        else:
            table += struct.pack("=IIQ", position, len(key), first)
        data += key + value
    return struct.pack("=QHHI", number, flags, len(rows), overflow) + table + data


def database(content: Tree, page_size: int = 4096, entries: int = 8, inline: bool = True) -> bytes:
    """A file that holds `content`: a bucket is a dict, a plain value bytes."""
    writer = Writer(page_size, entries, inline)
    return writer.file(writer.tree(content))


def flipped(data: bytes, page_size: int, bits: range) -> Iterator[bytes]:
    """The file with each bit of each used byte flipped, one at a time; bits: which ones of a byte."""
    for start in range(0, len(data), page_size):
        used = len(data[start : start + page_size].rstrip(b"\0"))
        for at in range(start, start + used):
            for bit in bits:
                yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
