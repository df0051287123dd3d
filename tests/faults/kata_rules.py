# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold after a fault for whoever reads Kata's trees (safety.md D1, kata-*.md)."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from ansible_collections.sandboxed.containers.tests.faults.rules import Invariant, Observed
from ansible_collections.sandboxed.containers.tests.faults.snapshot import Tree

# By layout: the directories that the runtime lists, in the order of removal, below the host's root.
TREES = {
    "kata_store": {"config": "var/lib/vc/sbs", "state": "run/vc/sbs"},
    "kata_persist": {"state": "run/vc/sbs"},
    "kata_rs": {"state": "run/kata"},
}
_NO_CONTAINERS = ("raw", "root")


def invariants(layout: str) -> dict[str, Invariant]:
    """The table of a layout."""
    listed = TREES[layout]

    def whole_or_gone(seen: Observed) -> None:
        """Who lists a tree finds an object with all that it had or will have, or does not find it (promise 3)."""
        for top in listed.values():
            for name in objects(top, seen.before, seen.wanted):
                before, wanted = (name in tree for tree in (seen.before, seen.wanted))
                if before != wanted and name in seen.after:
                    lacking = missing_in(seen.after, seen.before if before else seen.wanted, name, coming=wanted)
                    assert not lacking, f"{name} is there without {lacking}"

    def nothing_hidden_is_listed(seen: Observed) -> None:
        """A hidden name of ours is outside of what is listed; inside a sandbox it is a plain file (D1, README R3)."""
        for path, entry in seen.after.items():
            for top in listed.values():
                inside = path[len(top) + 1 :] if path.startswith(f"{top}/") and path not in seen.before else ""
                hidden = inside.rpartition("/")[2].startswith(".")
                assert not hidden or ("/" in inside and stat.S_ISREG(entry.mode)), f"{path} is listed"

    def an_error_leaves_both_trees_or_none(seen: Observed) -> None:
        """Without a kill, an object is as it was or as it is to be, in all its trees."""
        if seen.point.kills:
            return
        names = {name for top in listed.values() for name in objects(top, seen.before, seen.wanted)}
        for inside in {name[len(top) + 1 :] for top in listed.values() for name in names if name.startswith(top)}:
            now, before, wanted = (
                {top for top in listed.values() if f"{top}/{inside}" in tree}
                for tree in (seen.after, seen.before, seen.wanted)
            )
            assert now in (before, wanted), f"{inside} is in {sorted(now)} alone"

    def the_state_is_there_first_and_last(seen: Observed) -> None:
        """Who finds a sandbox's configuration finds its state, and the lock in it, unless that was gone before."""
        if len(listed) == 1:
            return
        config, state = listed.values()
        for path in objects(config, seen.after):
            other = state + path[len(config) :]
            alone_before = path in seen.before and other not in seen.before
            assert other in seen.after or alone_before, f"{path} is there without {other}"

    return {
        "a tree is whole or gone": whole_or_gone,
        "nothing hidden is listed": nothing_hidden_is_listed,
        "an error leaves both trees or none": an_error_leaves_both_trees_or_none,
        "the state is there first and last": the_state_is_there_first_and_last,
    }


def half_objects(layout: str, found: Tree, *whole: Tree) -> list[str]:
    """Objects that are not as in one of the whole trees, and hidden names where the runtime would list them."""
    problems = []
    for top in TREES[layout].values():
        for name in objects(top, found):
            if not any(name in tree and not missing_in(found, tree, name, coming=True) for tree in whole):
                problems.append(f"{name} is half: {sorted(path for path in found if path.startswith(name))}")
    return problems


def objects(top: str, *trees: Tree) -> Iterator[str]:
    """The paths of sandboxes, and of containers in them, below a listed directory."""
    for path in sorted({path for tree in trees for path in tree if path.startswith(f"{top}/")}):
        names = path[len(top) + 1 :].split("/")
        tree = [tree for tree in trees if path in tree][0]  # noqa: RUF015  # next() in a generator would end it silently
        if len(names) == 1 or (len(names) == 2 and _is_container(tree, path)):
            yield path


def _is_container(tree: Tree, path: str) -> bool:
    return stat.S_ISDIR(tree[path].mode) and path.rpartition("/")[2] not in _NO_CONTAINERS


def missing_in(found: Tree, model: Tree, name: str, coming: bool) -> list[str]:
    """What an object has in the model and lacks in what was found. Containers that are still to come count for
    themselves."""
    below = {path: entry for path, entry in model.items() if path.startswith(f"{name}/")}
    later = [path for path in objects(name, below) if coming and path not in found and _is_container(below, path)]
    return [
        path
        for path, entry in below.items()
        if not entry.means(found.get(path)) and not any(f"{path}/".startswith(f"{one}/") for one in later)
    ]
