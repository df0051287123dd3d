# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A closer look at what belongs to one sandbox beside its state (surroundings.py). Imported where there is any."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look, read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, RecordedProcess, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS, STATE_ROOTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.places import (
    SOCKETS,
    Beside,
    Place,
    engine_doubt,
)

_BUNDLES = tuple(f"{state}/{LAYOUTS['containerd_v2'].inside}" for state in STATE_ROOTS)


class Signs(NamedTuple):
    """What a directory shows of processes: sockets at which they listen, and pid files."""

    sockets: tuple[str, ...] = ()
    pids: tuple[RecordedProcess, ...] = ()


class Looker:
    """Looks at the entries of one sandbox."""

    def __init__(self, places: tuple[Place, ...], sandbox_id: str, problems: tuple[str, ...]) -> None:
        self.places = places
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
        for place in self.places:
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


def _target(directory: Directory, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=directory.fd)
    except OSError:
        return ""


def signs_in(directory: Directory) -> Signs:
    """Sockets and pid files in a directory; none where there is no such directory. Raises Unreadable."""
    try:
        with directory.opened() as opened:
            names = opened.listed()
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


def bundles_by_name(roots: Roots, problems: list[str]) -> dict[str, list[str]]:
    """By which engines may know sandboxes: id to paths."""
    found: dict[str, list[str]] = {}
    for path in _BUNDLES:
        try:
            with roots.open(path) as tasks:
                for namespace in _directories_in(tasks) if tasks.exists else ():
                    _add_bundles(tasks.child(namespace), found)
        except FileNotFoundError:
            continue
        except (StateError, OSError) as error:
            why = error.why if isinstance(error, StateError) else os_reason(error)
            problems.append(f"whether an engine knows it cannot be told: {path} cannot be read ({why})")
    return found


def _add_bundles(namespace: Directory, found: dict[str, list[str]]) -> None:
    try:
        with namespace.opened() as bundles:
            for name in bundles.names():
                found.setdefault(name, []).append(bundles.join(name))
    except FileNotFoundError:  # it went away meanwhile; the other namespaces are still there
        return


def _directories_in(directory: Directory) -> list[str]:
    with os.scandir(directory.fd) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
