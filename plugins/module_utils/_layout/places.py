# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words in which what belongs to a sandbox beside its state is told (surroundings.py, beside.py)."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, RecordedProcess

SOCKETS = (".sock", ".hvsock")


class PlaceRule(NamedTuple):
    """A directory with an entry for each sandbox. relative: its path from the root that the option names.

    length: of an entry's name, which is cut there; 0: the whole id. inside: directory in the entry that has sockets and
    pid files. reserved: names that are somebody else's (safety.md D5).
    """

    role: str
    option: str
    relative: str
    length: int = 0
    inside: str = ""
    reserved: frozenset[str] = frozenset()


class Place(NamedTuple):
    """One directory as it was listed. directory: closed. names: of its entries."""

    rule: PlaceRule
    directory: Directory
    names: frozenset[str]


class Peers(NamedTuple):
    """The pods whose machines run elsewhere, by their directories in `place`. problem: why they are not known."""

    place: str
    names: frozenset[str] = frozenset()
    problem: str = ""


class Beside(NamedTuple):
    """What surrounds one sandbox. The fields are those of Reading."""

    parts: tuple[Part, ...] = ()
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    aliases: frozenset[str] = frozenset()
    pids: tuple[RecordedProcess, ...] = ()


NOTHING_BESIDE = Beside()


def engine_doubt(path: str) -> str:
    """The sentence that an engine may still know a sandbox, by its bundle (safety.md A4)."""
    return f"its engine may still know it: the bundle {path} exists"
