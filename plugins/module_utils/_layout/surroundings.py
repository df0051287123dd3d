# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a sandbox beside its state: VM directory, shared tree, and the bundle by which an engine knows it.

The places are listed once in a look at the host, and not once for each sandbox.
"""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.places import (
    NOTHING_BESIDE,
    Beside,
    Peers,
    Place,
    PlaceRule,
    engine_doubt,
)

__all__ = [
    "NOTHING_BESIDE",
    "Beside",
    "Peers",
    "Place",
    "PlaceRule",
    "Surroundings",
    "engine_doubt",
    "find_peers",
    "find_surroundings",
]

_PEERS = "/run/peerpod"  # of the adaptor that has machines made elsewhere


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
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.beside import Looker

        looker = Looker(self.places, sandbox_id, self._problems)
        for place, name in found:
            looker.add(place, name)
        return looker.finish(aliases, bundles)

    @property
    def bundles(self) -> dict[str, list[str]]:
        """By which engines may know sandboxes: id to paths, listed when it is first asked for."""
        if self._bundles is None:
            from ansible_collections.sandboxed.containers.plugins.module_utils._layout.beside import bundles_by_name

            problems = list(self._problems)
            self._bundles = bundles_by_name(self._roots, problems)
            self._problems = tuple(problems)
        return self._bundles


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


def find_peers(host_root: str) -> Peers | None:
    """A host's pods whose machines run elsewhere; None where there is nothing of their adaptor's."""
    place = f"{_PEERS}/pods"
    try:
        with open_below(host_root, place) as pods:
            if pods.exists:
                return Peers(pods.path, frozenset(pods.listed()))
        with open_below(host_root, _PEERS) as above:
            return Peers(pods.path) if above.exists else None
    except StateError as error:
        return Peers(place, problem=str(error))
