# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The single changes that plans consist of: values that can be compared, shown as a diff, and made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import remove_file, write_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import ChangedMeanwhile
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import MASK, masked
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._object.printable import on_one_line


class Stop(NamedTuple):
    """End an owner. pid and start_ticks identify it; text describes it, and may differ a moment later."""

    pid: int
    start_ticks: int
    text: str
    role: str = "process"
    sign: str = "-"

    @property
    def path(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stop) and other[:2] == self[:2]

    def __hash__(self) -> int:
        return hash(self[:2])


class Unmount(NamedTuple):
    """Unmount what is mounted at or below `path`. anywhere: also outside of pid 1's mount namespace (safety.md D3)."""

    path: str
    anywhere: bool = False
    role: str = "mount"
    sign: str = "-"


class Remove(NamedTuple):
    """Unlink one entry, if it still is the one that was planned. identity None: the lock file, which is held."""

    role: str
    directory: Directory
    name: str
    identity: tuple[int, int] | None
    container_id: str = ""
    sign: str = "-"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)

    def make(self) -> bool:
        """True when it was removed, False when it was already gone; ChangedMeanwhile when it is something else now."""
        try:
            with self.directory.opened() as directory:
                return self._unlink(directory)
        except FileNotFoundError:
            return False

    def _unlink(self, directory: Directory) -> bool:
        facts = look(directory, self.name)
        if facts is not None and self.identity not in (None, facts.identity):
            raise ChangedMeanwhile(self.path, "it was replaced since it was looked at", "Run again.")
        return remove_file(directory, self.name)


class Write(NamedTuple):
    """Replace or create a document. old: what was there as a JSON value, None where there was nothing readable."""

    role: str
    directory: Directory
    name: str
    data: bytes
    mode: int
    replaces: bool
    old: Any
    new: Any

    @property
    def sign(self) -> str:
        return "~" if self.replaces else "+"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)

    def make(self, durable: bool) -> None:
        with still_there(self.directory) as directory:
            write_file(directory, self.name, self.data, self.mode, durable)


def gone_meanwhile(directory: Directory) -> ChangedMeanwhile:
    """The error where a directory was removed before something could be made in it."""
    return ChangedMeanwhile(directory.path, "it was removed meanwhile", "Run again.")


@contextmanager
def still_there(directory: Directory) -> Iterator[Directory]:
    """The directory, open for a change in it; ChangedMeanwhile where it was removed by then."""
    try:
        with directory.opened() as opened:
            yield opened
    except FileNotFoundError as error:
        raise gone_meanwhile(directory) from error


class AddLock(NamedTuple):
    """The lock file that a whole object has. Taking the lock makes it; this says so in the diff."""

    directory: Directory
    name: str
    role: str = "lock"
    sign: str = "+"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)


class Change(Protocol):
    """What every change says of itself. role: what it is, in one word. sign: "-", "+", or "~" for what is rewritten."""

    @property
    def role(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def sign(self) -> str: ...


def diff_of(changes: tuple[Change, ...], label: str) -> list[dict[str, str]]:
    """The diff of one item: a listing of what comes and goes, and before and after of each document that is written."""
    diffs = []
    before, after = lines_of(changes)
    if before != after:
        diffs.append(listing(label, before, after))
    for change in changes:
        documents = (change,) if isinstance(change, Write) else getattr(change, "documents", ())
        diffs += [_document(document) for document in documents]
    return diffs


def lines_of(changes: tuple[Change, ...], written: str = "") -> tuple[list[str], list[str]]:
    """What a listing shows before and after the changes. written: what it says of a document that is replaced; what is
    changed in place says itself what it was and becomes."""
    before = [_line(change) + getattr(change, "was", "") for change in changes if change.sign in "-~"]
    after = [
        _line(change) + getattr(change, "becomes", written if change.sign == "~" else "")
        for change in changes
        if change.sign in "+~"
    ]
    return before, after


def listing(label: str, before: list[str], after: list[str]) -> dict[str, str]:
    """A diff of two lists of lines."""
    return {
        "before_header": label,
        "after_header": label,
        "before": "".join(line + "\n" for line in before),
        "after": "".join(line + "\n" for line in after),
    }


def _line(change: Change) -> str:
    return on_one_line(f"{change.role:<9} {change.path}")


def _document(change: Write) -> dict[str, str]:
    old, new = masked(change.old), masked(change.new)
    before = "" if change.old is None else _pretty(old)
    after = _pretty(new)
    if old == new:  # only masked values differ: the diff must still say that something changes
        after = after.replace(MASK, f"{MASK} (changed)")
    return {"before_header": change.path, "after_header": change.path, "before": before, "after": after}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
