# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every half-made or half-removed sandbox is shown as what it is, can be removed and can be made whole (R9, K1-K12)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes, wanted
from ansible_collections.sandboxed.containers.tests.lab import kata, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS, Places, Sandbox, StoreSandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts

pytestmark = pytest.mark.real
STORE = pytest.mark.parametrize("layout", ["kata_store"])
PERSIST = pytest.mark.parametrize("layout", ["kata_persist"])
RS = pytest.mark.parametrize("layout", ["kata_rs"])


def missing(path: Path) -> None:
    trees.remove(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def zeroed(path: Path) -> None:
    """What a power loss leaves of a file that was not synced."""
    path.write_bytes(bytes(len(path.read_bytes())))


def foreign(path: Path) -> None:
    path.write_bytes(b'["another", {"kind": "of document"}]')


def whole(path: Path) -> None:
    assert path.exists()


Damage = Callable[[Path], None]
HARM = [missing, empty, cut, zeroed, foreign]


class Harmed(NamedTuple):
    """A sandbox with what was done to its files."""

    box: Sandbox
    damaged: list[Path]


def harmed(layout: str, *damages: tuple[Damage, str]) -> Harmed:
    """A new sandbox, of a name of its own, with damaged files: paths below its trees, of the first that has it."""
    number = len(list(Path("/run").glob("vc/sbs/*"))) + len(list(Path("/run").glob("kata/*")))
    box = kata.sandbox(layout, f"lab-web-{number}", [f"lab-web-{number}", "lab-app-1"])
    box.write()
    damaged = []
    for damage, name in damages:
        path = next(tree / name for tree in reversed(box.trees) if (tree / name).exists())
        damage(path)
        if damage is not whole:
            damaged.append(path)
    return Harmed(box, damaged)


def remove_and_check(*all_harmed: Harmed) -> None:
    """Each is shown with what is wrong, is dead and can be removed without force; the second time nothing is done."""
    modules, names = Modules(all_harmed[0].box), [box.id for box, _damaged in all_harmed]
    shown = {one["sandbox_id"]: one for one in modules.info(*names).sandboxes}
    for box, damaged in all_harmed:
        found = shown[box.id]
        assert found["verdict"] == "leftover", found
        for path in damaged:
            assert str(path) in str((found["evidence"], found.get("missing"))), (path, found)
    done = modules.absent(sandbox_id=names)
    assert done.changed and not done.failed, done.message
    assert [one["action"] for one in done.sandboxes] == ["deleted"] * len(names)
    assert [left for box, _damaged in all_harmed for left in gone(box)] == []
    assert modules.absent(sandbox_id=names).unchanged


@STORE
def test_R9_every_subset_of_a_stores_files(host: None, layout: str) -> None:
    subsets = product([whole, missing], [whole, missing, empty], [whole, missing, cut])
    remove_and_check(
        *(
            harmed(layout, (lock, "lock"), (config, "config.json"), (state, "state.json"))
            for lock, config, state in subsets
        )
    )


@STORE
def test_R9_every_document_of_a_store(host: None, layout: str) -> None:
    """What Kata leaves out is not missed, so only what is there and wrong is told."""
    names = ["network.json", "hypervisor.json", "agent.json", "devices.json"]
    names += [f"lab-app-1/{name}.json" for name in ("state", "process", "mounts", "devices", "config")]
    boxes = [harmed(layout, (damage, name)).box for damage, name in product(HARM, [*names, "lab-app-1/lock"])]
    remove_and_check(*(Harmed(box, []) for box in boxes))


@STORE
@pytest.mark.parametrize("tree", [0, 1], ids=["configuration", "state"])
def test_R9_one_of_two_trees(box: Sandbox, tree: int) -> None:
    """A reboot takes the state tree; a torn delete the other one (K12)."""
    trees.remove(box.trees[tree])
    remove_and_check(Harmed(box, [box.trees[tree]]))


@STORE
def test_K2_residue_of_a_status_query_is_removed(host: None, layout: str) -> None:
    """runtime#2921: each pod leaves a lock and an empty directory in /var/lib/vc/sbs."""
    box = StoreSandbox("lab-web-1", (), Facts(), Places())
    box.write_residue()
    remove_and_check(Harmed(box, []))


@PERSIST
def test_P2_a_torn_persist_json_does_not_block_the_removal(host: None, layout: str) -> None:
    """Kata's own clean-up stops at it, and at a container's as well."""
    remove_and_check(
        *(
            harmed(layout, (outer, "persist.json"), (inner, "lab-app-1/persist.json"))
            for outer, inner in product([whole, *HARM], [whole, *HARM])
        )
    )


@RS
def test_RS4_a_torn_state_json_does_not_block_the_removal(host: None, layout: str) -> None:
    """kata#11496: what a failed start leaves of /run/kata/<id> keeps the name from being used."""
    remove_and_check(
        *(harmed(layout, (damage, "state.json")) for damage in (whole, *HARM)),
        *(Harmed(harmed(layout, (damage, "state.json"), (missing, "root")).box, []) for damage in (whole, *HARM)),
    )


def test_R9_an_empty_directory(box: Sandbox) -> None:
    for tree in box.trees:
        trees.remove(tree)
        trees.directory(tree, 0o750)
    remove_and_check(Harmed(box, []))


@pytest.mark.parametrize(
    ("layout", "place"),
    [(layout, place) for layout in GENERATIONS for place in ("vm", "share")] + [("kata_persist", "initdata")],
)
def test_R10_only_what_belongs_to_it_is_left(box: Sandbox, place: str) -> None:
    """PR runtime#1139: VM directory and shared tree of a sandbox whose state is gone."""
    for tree in box.trees:
        trees.remove(tree)
    if place == "share":
        trees.directory(box.share_dir / "mounts", 0o750)
    elif place == "vm":
        box.make_vm()
    else:
        box.make_initdata()
    remove_and_check(Harmed(box, []))


def test_R9_a_stranger_in_its_place_is_kept(modules: Modules) -> None:
    """A file, or a link to somebody's directory, where a sandbox's directory would be."""
    box = modules.box
    precious = Path("/var/lib/precious")
    trees.put_data(precious)
    for tree in box.trees:
        trees.remove(tree)
        tree.symlink_to(precious)
    before = trees.listing(precious)
    assert modules.look()["verdict"] != "live"
    modules.absent(force=True)
    assert trees.listing(precious) == before


@STORE
@pytest.mark.parametrize("name", ["lock", "raw", "lab-app-1/lock", "lab-app-1/raw"])
def test_K1_a_store_without_its_lock_is_completed(modules: Modules, box: Sandbox, name: str) -> None:
    """Kata takes an existing directory for a whole store, and fails at each later lock for ever."""
    expected = shapes(box)
    trees.remove(box.state_dir / name)
    made = modules.make(wanted(box))
    assert made.changed and not made.failed, made.message
    assert shapes(box) == expected
    assert modules.make(wanted(box)).unchanged


def test_K3_a_torn_document_is_written_anew(host: None, layout: str) -> None:
    """K3, P2, RS4: truncation in place, a crash, and the file is empty or cut."""
    name = "persist.json" if layout == "kata_persist" else "state.json"
    sound = [harmed(layout).box for _damage in HARM]
    expected = [shapes(box) for box in sound]
    for damage, box in zip(HARM, sound):
        damage(box.state_dir / name)
    made = Modules(sound[0]).make([entry for box in sound for entry in wanted(box)])
    assert made.changed and not made.failed, made.message
    assert [shapes(box) for box in sound] == expected


def test_P6_a_shorter_document_leaves_nothing_of_the_longer_one(modules: Modules, box: Sandbox) -> None:
    path = box.state_dir / ("persist.json" if box.layout == "kata_persist" else "state.json")
    expected = path.read_bytes()
    path.write_bytes(expected.rstrip(b"}\n") + b', "More": "' + b"x" * 5000 + b'"}')
    made = modules.make(wanted(box))
    assert made.changed and not made.failed, made.message
    assert path.read_bytes() == expected


@PERSIST
def test_P3_nothing_unknown_in_a_sandbox_is_removed_by_a_save(modules: Modules, box: Sandbox) -> None:
    extra = box.state_dir / "not-a-container"
    trees.put_data(extra)
    before = trees.listing(extra)
    (box.state_dir / "persist.json").write_bytes(b"")
    made = modules.make(wanted(box))
    assert made.changed and not made.failed, made.message
    assert trees.listing(extra) == before
    assert sorted(path.name for path in box.state_dir.iterdir()) == [
        "lab-app-1",
        "lab-web-1",
        "not-a-container",
        "persist.json",
    ]
