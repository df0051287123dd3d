# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a sandbox beside its state: VM directory, shared tree, and the bundle by which an engine knows it.

The places are listed once in a look at the host, and not once for each sandbox.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import look, read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, RecordedProcess, Roots

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


class Signs(NamedTuple):
    """What a directory shows of processes: sockets at which they listen, and pid files."""

    sockets: tuple[str, ...] = ()
    pids: tuple[RecordedProcess, ...] = ()


class Beside(NamedTuple):
    """What surrounds one sandbox. The fields are those of Reading."""

    parts: tuple[Part, ...] = ()
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    aliases: frozenset[str] = frozenset()
    pids: tuple[RecordedProcess, ...] = ()


NOTHING_BESIDE = Beside()


class Surroundings:
    """All places of one host. problems: about places that could not be looked at."""

    def __init__(self, places: tuple[Place, ...], problems: tuple[str, ...], roots: Roots) -> None:
        self.places = places
        self._problems = problems
        self._roots = roots
        self._bundles: dict[str, list[str]] | None = None

    def of(self, sandbox_id: str, aliases: frozenset[str], exists: bool = True) -> Beside:
        """What surrounds one sandbox. aliases: names that its documents have for it. exists: it has a state,
        or is to have one, so that engines are asked."""
        found = [
            (place, name)
            for place in self.places
            if (name := sandbox_id[: place.rule.length or None]) in place.names and name not in place.rule.reserved
        ]
        bundles = self.bundles.get(sandbox_id, []) if found or exists else []
        if not found and not bundles and not aliases:
            return Beside(problems=self._problems) if self._problems else NOTHING_BESIDE
        looker = _Looker(self, sandbox_id, self._problems)
        for place, name in found:
            looker.add(place, name)
        return looker.finish(aliases, bundles)

    @property
    def bundles(self) -> dict[str, list[str]]:
        """By which engines may know sandboxes: id to paths, listed when it is first asked for."""
        if self._bundles is None:
            problems = list(self._problems)
            self._bundles = _bundles(self._roots, problems)
            self._problems = tuple(problems)
        return self._bundles


class _Looker:
    """Looks at the entries of one sandbox."""

    def __init__(self, surroundings: Surroundings, sandbox_id: str, problems: tuple[str, ...]) -> None:
        self.surroundings = surroundings
        self.parts: list[Part] = []
        self.problems = list(problems)
        self.signs: list[Signs] = []
        self.aliases: set[str] = set()
        self.sandbox_id = sandbox_id

    def add(self, place: Place, name: str) -> None:
        """Take up an entry. A factory's VM is only linked to: its own name is an alias, and it is no part (R6)."""
        try:
            with place.directory.opened() as directory:
                facts = look(directory, name)
                if facts is None:
                    return
                self.parts.append(Part(place.rule.role, "", place.directory, name, facts))
                if stat.S_ISLNK(facts.mode):
                    self.aliases.add(os.path.basename(_target(directory, name)))
                    return
                entry = directory.child(name)
                if place.rule.role == "share":
                    self._add_linked_mounts(entry)
                if place.rule.inside:
                    self.signs.append(signs_in(entry if place.rule.inside == "." else entry.child(place.rule.inside)))
        except FileNotFoundError:
            return
        except StateError as error:
            self.problems.append(f"{error.where or place.directory.join(name)} cannot be read: {error.why}")

    def _add_linked_mounts(self, share: Directory) -> None:
        """mounts -> /run/vc/vm/<vmid>/shared, where a factory made the machine (kata-persist.md)."""
        with share.opened() as opened:
            facts = look(opened, "mounts")
            if facts is not None and stat.S_ISLNK(facts.mode):
                self.aliases.add(os.path.basename(os.path.dirname(_target(opened, "mounts"))))

    def finish(self, aliases: frozenset[str], bundles: list[str]) -> Beside:
        """All that was found. The machine of an alias is looked at for signs of life alone."""
        names = (self.aliases | aliases) - {"", self.sandbox_id}
        for place in self.surroundings.places:
            if place.rule.role == "vm":
                self.signs += [signs_in(place.directory.child(name)) for name in sorted(names & place.names)]
        return Beside(
            tuple(self.parts),
            tuple(self.problems),
            tuple(map(engine_doubt, bundles)),
            tuple(dict.fromkeys(path for sign in self.signs for path in sign.sockets)),
            frozenset(names),
            tuple(dict.fromkeys(pid for sign in self.signs for pid in sign.pids)),
        )


def engine_doubt(path: str) -> str:
    """The sentence that an engine may still know a sandbox, by its bundle (safety.md A4)."""
    return f"its engine may still know it: the bundle {path} exists"


def _target(directory: Directory, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=directory.fd)
    except OSError:
        return ""


def signs_in(directory: Directory) -> Signs:
    """Sockets and pid files in a directory; none where there is no such directory. Raises Unreadable."""
    try:
        with directory.opened() as opened:
            names = sorted(opened.names())
            pids = [_recorded(opened, name) for name in names if name == "pid" or name.endswith(".pid")]
            sockets = tuple(opened.join(name) for name in names if name.endswith(SOCKETS))
            return Signs(sockets, tuple(pid for pid in pids if pid is not None))
    except FileNotFoundError:
        return Signs()


def _recorded(directory: Directory, name: str) -> RecordedProcess | None:
    """The process that the first line of a pid file names (V9). What is no number is no hint."""
    data = read_file(directory, name) or b""
    digits = data.partition(b"\n")[0].strip()
    if not digits.isdigit() or len(digits) > 9 or int(digits) == 0:
        return None
    return RecordedProcess("virtiofsd" if name.startswith("virtiofsd") else "hypervisor", int(digits), "")


def find_surroundings(rules: tuple[PlaceRule, ...], roots: Roots) -> Surroundings:
    """List all places."""
    places: list[Place] = []
    problems: list[str] = []
    for rule in rules:
        try:
            with roots.beside(rule.option, rule.relative) as directory:
                if directory.exists:
                    names = frozenset(directory.names())
                    places.append(Place(rule, Directory(-1, directory.path), names))
        except StateError as error:
            problems.append(f"whether a {rule.role} of it is left cannot be told: {error.where}: {error.why}")
        except OSError as error:
            problems.append(f"whether a {rule.role} of it is left cannot be told: {os_reason(error)}")
    return Surroundings(tuple(places), tuple(problems), roots)


def _bundles(roots: Roots, problems: list[str]) -> dict[str, list[str]]:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS, STATE_ROOTS

    found: dict[str, list[str]] = {}
    for path in [f"{state}/{LAYOUTS['containerd_v2'].inside}" for state in STATE_ROOTS]:
        try:
            with roots.open(path) as tasks:
                for namespace in _directories_in(tasks) if tasks.exists else ():
                    with tasks.child(namespace).opened() as bundles:
                        for name in bundles.names():
                            found.setdefault(name, []).append(bundles.join(name))
        except FileNotFoundError:
            continue
        except (StateError, OSError) as error:
            why = error.why if isinstance(error, StateError) else os_reason(error)
            problems.append(f"whether an engine knows it cannot be told: {path} cannot be read ({why})")
    return found


def _directories_in(directory: Directory) -> list[str]:
    with os.scandir(directory.fd) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
