# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A directory tree as values that can be compared."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

ROOT = "@ROOT@"  # stands for the case's directory in options, contents and system calls


class Entry(NamedTuple):
    """One entry. content: of a file, or where a link leads, with the directory's own path replaced by ROOT.

    inode and mtime_ns tell whether it is the very same one, untouched; 0 for a directory, whose own follow its entries.
    """

    mode: int
    owner: tuple[int, int]
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]
    inode: int
    mtime_ns: int

    def means(self, other: Entry | None) -> bool:
        """Whether it is the same to a reader."""
        return other is not None and self[:4] == other[:4]


Tree = dict[str, Entry]  # by path below the case's directory


def take(root: Path) -> Tree:
    """All that lies below a directory."""
    return {str(path.relative_to(root)): _entry(path, root) for path in sorted(root.rglob("*"))}


def _entry(path: Path, root: Path) -> Entry:
    facts = path.lstat()
    content = b""
    if stat.S_ISREG(facts.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(facts.st_mode):
        content = os.fsencode(os.readlink(path))
    names = [] if stat.S_ISLNK(facts.st_mode) else sorted(os.listxattr(path))
    attributes = tuple((name, os.getxattr(path, name)) for name in names)
    inode, mtime = (0, 0) if stat.S_ISDIR(facts.st_mode) else (facts.st_ino, facts.st_mtime_ns)
    content = content.replace(os.fsencode(root), ROOT.encode())
    return Entry(facts.st_mode, (facts.st_uid, facts.st_gid), content, attributes, inode, mtime)


def differences(found: Tree, wanted: Tree) -> list[str]:
    """How one tree differs from another in what it means, one line each."""
    lines = [f"{path} is missing" for path in wanted.keys() - found.keys()]
    lines += [f"{path} is too much" for path in found.keys() - wanted.keys()]
    lines += [
        f"{path} is {found[path][:4]}, not {wanted[path][:4]}"
        for path in found.keys() & wanted.keys()
        if not found[path].means(wanted[path])
    ]
    return sorted(lines)
