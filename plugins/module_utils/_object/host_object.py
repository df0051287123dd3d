# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing that a host keeps for its sandboxes, as the scan of the whole host sees it."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import FileFacts
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# In the order in which they are removed: what others need goes after them (safety.md D1, CG7).
KINDS = ("process", "daemon", "socket", "bundle", "sandbox", "mapping", "cgroup")
NO_ID = "its name is none that Kata gives, so that whose it is cannot be told"


class Terms(NamedTuple):
    """What a prune may do: unmount what is mounted in a leftover, and end leftover processes."""

    unmount: bool = False
    stop_processes: bool = False


class Candidate(ABC):
    """One object. It is read first, with all others of the host, and judged after that (safety.md B4).

    kind: one of KINDS. layout: of the runtime generation, empty where there is none. name: its id. namespace: of
    containerd, empty elsewhere. names: all ids by which it is tied to other objects.
    """

    kind: str
    layout = ""
    name: str
    namespace = ""

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    @property
    @abstractmethod
    def paths(self) -> list[str]:
        """Where it lies on disk; empty for a process."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, int]:
        """What tells it from another one of the same name: device, inode and changed (ns); or pid and start."""

    @property
    def facts(self) -> Sequence[FileFacts]:
        """Of all that was looked at of it, for its age and size."""
        return ()

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What stays the same from scan to scan."""
        return (self.kind, self.layout, self.namespace, self.name, self.paths[0] if self.paths else "")

    @abstractmethod
    def read(self, view: HostView, held: bool = False) -> bool:
        """Read its files; False where there is nothing of it. held: this task holds its lock. Raises StateError."""

    @abstractmethod
    def evidence(self, view: HostView) -> Evidence:
        """Who owns it, as far as it can tell alone. Raises StateError."""

    @abstractmethod
    def item(self, terms: Terms) -> Item:
        """What removes it."""

    def foreign(self) -> str:
        """Whose it is, where it belongs to another product; then it is shown and never touched (safety.md E2)."""
        return ""

    @property
    def changed(self) -> float | None:
        """Its newest change, in seconds of the epoch; None where it has no files."""
        return self.changed_but_for(frozenset())

    def changed_but_for(self, ours: frozenset[tuple[int, int]]) -> float | None:
        """The same without these inodes: locks that this task has made."""
        return max((one.ctime_ns for one in self.facts if one.identity not in ours), default=0) / 1e9 or None

    @property
    def size(self) -> int:
        """Bytes in its plain files, each counted once."""
        return sum({one.identity: one.size for one in self.facts if stat.S_ISREG(one.mode)}.values())


class Judged(NamedTuple):
    """A candidate and its verdict: live, leftover, unknown or foreign, with the sentences that decided.

    age: seconds since its newest change, None where there is none or the clock was stepped. mounts: in it.
    """

    candidate: Candidate
    verdict: str
    reasons: tuple[str, ...]
    age: int | None = None
    mounts: tuple[str, ...] = ()

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
            **({"mounts": list(self.mounts)} if self.mounts else {}),
            **({"age": self.age} if self.age is not None else {}),
            **({"size": one.size} if one.facts else {}),
        }


def identity_of(facts: FileFacts) -> dict[str, int]:
    """The identity of a file or directory."""
    return {"device": facts.device, "inode": facts.inode, "changed": facts.ctime_ns}


def may_be_an_id(name: str) -> bool:
    """Whether Kata may have given it: what else lies in its directories is not ours to judge (safety.md D2, D5)."""
    return (
        len(name.encode("utf-8", "surrogateescape")) > 1
        and name[0].isalnum()
        and all(letter.isalnum() or letter in "._-" for letter in name)
    )
