# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing that a host keeps for its sandboxes, as the scan of the whole host sees it."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import FILE_NAME_BYTES
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import (
    TOMBSTONE_PREFIX,
    tombstone_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# In the order in which they are removed: what others need goes after them (safety.md D1, CG7).
KINDS = ("process", "daemon", "socket", "bundle", "sandbox", "mapping", "rootless", "cgroup")
_IN_PLACE = ("state", "config", "bundle")  # parts by which an object is whole, and which are hidden
_SUFFIX_BYTES = len(tombstone_name("", ""))
NO_ID = "its name is none that Kata gives, so that whose it is cannot be told"


class Known(NamedTuple):
    """The ids of all that is on disk. problems: what could not be listed, and may have others."""

    ids: frozenset[str]
    problems: tuple[str, ...] = ()


class Terms(NamedTuple):
    """What a prune may do: unmount what is mounted in a leftover, and end leftover processes."""

    unmount: bool = False
    stop_processes: bool = False


class Seen(NamedTuple):
    """What a look at an object showed, in plain values, which a worker can send.

    names: all ids by which it is tied to other objects. paths: where it lies on disk; none for a process. identity:
    what tells it from another one of the same name: device, inode and changed (ns); or pid and start. changed: its
    newest change, in seconds of the epoch, None where it has no files. size: bytes in its plain files, each counted
    once; None where it has none. hidden: device and inode of what killed runs of ours have hidden of it, where no more
    is left of it than that.
    """

    layout: str
    names: frozenset[str]
    paths: list[str]
    identity: dict[str, int]
    changed: float | None
    size: int | None
    hidden: frozenset[Inode] = frozenset()


class Candidate(ABC):
    """One object. It is read first, with all others of the host, and judged after that (safety.md B4).

    kind: one of KINDS. layout: of the runtime generation, empty where there is none. name: its id. namespace: of
    containerd, empty elsewhere. is_common: whether a host may have thousands of it, so that workers look at it.
    """

    kind: str
    layout = ""
    name: str
    namespace = ""
    is_common = False
    own_engine = ""  # the root directory of a containerd that it asks itself
    ours: frozenset[tuple[int, int]] = frozenset()  # inodes of locks that this task has made: they make it no younger
    _seen: Seen | None = None

    @property
    def seen(self) -> Seen:
        """What the last look at it showed, in this process or in a worker."""
        if self._seen is None:
            self._seen = self._show()
        return self._seen

    def take(self, seen: Seen) -> None:
        """What a worker has seen counts as the last look."""
        self._seen = seen

    def _show(self) -> Seen:
        facts = self._facts()
        sizes = {one.identity: one.size for one in facts if stat.S_ISREG(one.mode)}
        return Seen(
            self.layout,
            self._names(),
            self._paths(),
            self._identity(),
            self._changed([one for one in facts if one.identity not in self.ours]),
            sum(sizes.values()) if facts else None,
            _hidden_in(self._parts),
        )

    @property
    def names(self) -> frozenset[str]:
        return self.seen.names

    @property
    def paths(self) -> list[str]:
        return self.seen.paths

    @property
    def identity(self) -> dict[str, int]:
        return self.seen.identity

    def was(self, identity: Mapping[str, int]) -> bool:
        """Whether it had this identity when a plan was made. Hiding it changed its time, and nothing else: what a
        killed run has left of it goes by the same plan."""
        return self.identity == identity or (identity.get("device"), identity.get("inode")) in self.seen.hidden

    @property
    def changed(self) -> float | None:
        return self.seen.changed

    @property
    def size(self) -> int:
        return self.seen.size or 0

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What stays the same from scan to scan."""
        return (self.kind, self.layout, self.namespace, self.name, self.paths[0] if self.paths else "")

    def read(self, view: HostView, held: bool = False) -> bool:
        """Read its files; False where there is nothing of it. held: this task holds its lock. Raises StateError."""
        self._seen = None
        return self._read(view, held)

    @abstractmethod
    def _read(self, view: HostView, held: bool) -> bool:
        """The same for this kind."""

    def _names(self) -> frozenset[str]:
        return frozenset((self.name,))

    @abstractmethod
    def _paths(self) -> list[str]:
        """Of all that is its, as it was read."""

    @abstractmethod
    def _identity(self) -> dict[str, int]:
        """As it was read."""

    @property
    def _parts(self) -> Sequence[Part]:
        """Of a kind that is hidden before it is removed, all that was read of it."""
        return ()

    def _facts(self) -> Sequence[FileFacts]:
        """Of all that was looked at of it, for its age and size."""
        return ()

    def _changed(self, facts: Sequence[FileFacts]) -> float | None:
        return max((one.ctime_ns for one in facts), default=0) / 1e9 or None

    def forget(self) -> None:
        """Keep what was seen, and give back the memory of what was read."""
        self._seen = self.seen

    @abstractmethod
    def evidence(self, view: HostView) -> Evidence:
        """Who owns it, as far as it can tell alone, after it was read in this process. Raises StateError."""

    def pids(self, view: HostView) -> set[int]:
        """Of the processes that it accounts for."""
        return set()

    def foreign(self) -> str:
        """Whose it is, where it belongs to another product; then it is shown and never touched (safety.md E2)."""
        return ""


class Judged(NamedTuple):
    """A candidate and its verdict: live, leftover, unknown or foreign, with the sentences that decided.

    age: seconds since its newest change, None where there is none or the clock was stepped. mounts: how many are in it.
    """

    candidate: Candidate
    verdict: str
    reasons: tuple[str, ...]
    age: int | None = None
    mounts: int = 0

    def entry(self) -> dict[str, Any]:
        """What a result shows of it."""
        one = self.candidate
        return {
            "kind": one.kind,
            **({"layout": one.layout} if one.layout else {}),
            **({"namespace": one.namespace} if one.namespace else {}),
            "id": one.name,
            "verdict": self.verdict,
            "evidence": list(self.reasons),
            **({"paths": one.paths} if one.paths else {}),
            **({"pid": one.identity["pid"]} if "pid" in one.identity else {}),
            **({"mounts": self.mounts} if self.mounts else {}),
            **({"age": self.age} if self.age is not None else {}),
            **({"size": one.size} if one.seen.size is not None else {}),
        }


def identity_of(facts: FileFacts) -> dict[str, int]:
    """The identity of a file or directory."""
    return {"device": facts.device, "inode": facts.inode, "changed": facts.ctime_ns}


def _hidden_in(parts: Sequence[Part]) -> frozenset[Inode]:
    """None where something of it is in its place, or was changed since the rest was hidden: that may be a new one's."""
    rests = [part for part in parts if part.role == "tombstone"]
    others = [part for part in parts if part.role != "tombstone"]
    since = min((part.facts.ctime_ns for part in rests), default=0)
    if any(part.role in _IN_PLACE or part.facts.ctime_ns >= since for part in others):
        return frozenset()
    return frozenset(part.facts.identity for part in rests)


def too_long_to_hide(name: str, prefix: str = TOMBSTONE_PREFIX) -> tuple[str, ...]:
    """That no file system could hold the name that something gets while it is removed, in a sentence."""
    size = len(os.fsencode(prefix + name)) + _SUFFIX_BYTES
    if size <= FILE_NAME_BYTES:
        return ()
    return (f"while it is removed its name would have {size} bytes, and a file name has at most {FILE_NAME_BYTES}",)


def may_be_an_id(name: str) -> bool:
    """Whether Kata may have given it: what else lies in its directories is not ours to judge (safety.md D2, D5)."""
    letters = name.isalnum() or all(letter.isalnum() or letter in "._-" for letter in name)
    return len(name.encode("utf-8", "surrogateescape")) > 1 and name[0].isalnum() and letters
