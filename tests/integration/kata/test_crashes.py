# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A delete or a create that is killed, with and without a reboot after it (promise 3, safety.md D1, D2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.faults import snapshot
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes, wanted
from ansible_collections.sandboxed.containers.tests.lab import forked, mounting, own_host, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS, Sandbox
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
STORE = pytest.mark.parametrize("layout", ["kata_store"])
# Before the first change, between the two renames, at the first and at a later file.
SOME = [("renameat2", 1), ("renameat2", 2), ("unlinkat", 1), ("unlinkat", 4), ("umount2", 2)]
CUTS = [
    pytest.param(layout, call, number, marks=[] if number < 2 or layout == "kata_store" else pytest.mark.long)
    for layout in GENERATIONS
    for call, number in SOME
]
# Before the config tree goes, between the two trees, with the config tree half removed, and wholly.
REBOOTS = [("umount2", 2), ("renameat2", 1), ("renameat2", 2), ("unlinkat", 24), ("unlinkat", 36)]
MOST = 60  # more changes than any run makes


def killed(modules: Modules, state: str, call: str, number: int, **options: object) -> bool:
    """Whether the run got as far as to be killed there."""
    given = {"sandbox_id": modules.box.id, **modules.options, "state": state, **options}
    if "sandboxes" in given:
        del given["sandbox_id"]
    return forked.killed_at("sandbox_state", given, call, number) is None


def prepare(box: Sandbox) -> list[Path]:
    """Everything around it, with mounts; the directories whose data must stay."""
    if not box.state_dir.exists():
        box.write()
    shared = box.make_share()
    box.engine_cleans_up()
    box.make_vm()
    return list(shared.data)


def finish(modules: Modules) -> None:
    """What is left can be looked at, is finished by the same task, and then nothing is left to do."""
    found = modules.info()
    assert not found.failed, found.message
    assert all(one["sandbox_id"] == modules.box.id for one in found.sandboxes), found.sandboxes
    done = modules.absent(on_mounted="unmount")
    assert not done.failed, done.message
    assert gone(modules.box) == []
    assert modules.absent().unchanged
    assert modules.info().sandboxes == []


@pytest.mark.parametrize(("layout", "call", "number"), CUTS)
def test_D1_a_killed_delete_is_finished_by_the_next(modules: Modules, call: str, number: int) -> None:
    """Kata's own delete, cut in the middle, leaves what it can never delete again (K12)."""
    data = prepare(modules.box)
    before = mounting.checksum(*data)
    assert killed(modules, "absent", call, number, on_mounted="unmount") or number > 1
    finish(modules)
    assert mounting.checksum(*data) == before


@STORE
@pytest.mark.parametrize(("call", "number"), REBOOTS)
def test_D1_a_reboot_in_the_middle_of_a_delete(modules: Modules, call: str, number: int) -> None:
    """Fresh /run, old /var/lib: what is left is shown, then finished, and its name is free for a whole new one."""
    box = modules.box
    whole = shapes(box)
    data = prepare(box)
    before = mounting.checksum(*data)
    assert killed(modules, "absent", call, number, on_mounted="unmount")
    own_host.reboot()
    left = gone(box)  # the config tree under its name, or hidden, or nothing
    assert all(path.startswith(f"{box.trees[0].parent.parent}/") for path in left) and len(left) < 2, left
    seen = snapshot.take(Path("/run")), snapshot.take(Path("/var/lib"))
    found = modules.look()
    assert (snapshot.take(Path("/run")), snapshot.take(Path("/var/lib"))) == seen
    assert (found["exists"], found.get("paths", []), found.get("verdict")) == (
        bool(left), left, "leftover" if left else None
    )  # fmt: skip
    for changes in (bool(left), False):
        done = modules.absent(on_mounted="unmount")
        assert not done.failed and done.changed is changes, done.message
        assert gone(box) == []
    made = modules.make(wanted(box), fail_if_exists=True)
    assert made.changed and not made.failed, made.message
    assert shapes(box) == whole
    finish(modules)
    assert mounting.checksum(*data) == before


@pytest.mark.long
@pytest.mark.parametrize("reboot", [False, True], ids=["", "reboot"])
@pytest.mark.parametrize("call", ["renameat2", "unlinkat", "umount2"])
def test_D1_at_each_change_of_a_delete(modules: Modules, call: str, reboot: bool) -> None:
    for number in range(1, MOST):
        data = prepare(modules.box)
        before = mounting.checksum(*data)
        reached = killed(modules, "absent", call, number, on_mounted="unmount")
        if reboot:
            own_host.reboot()
        finish(modules)
        assert mounting.checksum(*data) == before, number
        for one in data:
            trees.remove(one)
        if not reached:
            return
    raise AssertionError(f"more than {MOST} calls of {call}")


@STORE
def test_a_reboot_leaves_the_configuration_alone(crowd: Crowd, modules: Modules) -> None:
    """Old /var/lib, fresh /run: a directory that says nothing of processes, and nobody lives."""
    crowd.start(modules.box.program("qemu"))
    own_host.reboot()
    assert modules.verdict == "leftover"
    finish(modules)


@STORE
@pytest.mark.parametrize("call", ["renameat2", "unlinkat"])
def test_a_new_sandbox_takes_the_name_of_a_torn_delete(crowd: Crowd, modules: Modules, box: Sandbox, call: str) -> None:
    """The rest of the old one blocks nobody, and finishing it touches nothing of the new one (D2)."""
    assert killed(modules, "absent", call, 2)
    for tree in box.trees:
        if tree.exists():  # killed before it was renamed: the runtime's own delete would go on here
            trees.remove(tree)
    box.write()
    owner = crowd.start(box.program("qemu"))
    expected = shapes(box)
    refused = modules.absent()
    assert refused.failed and f"(pid {owner.pid}," in refused.message
    assert shapes(box) == expected
    owner.kill()
    finish(modules)


@pytest.mark.parametrize(("call", "number"), [("renameat2", 1), ("renameat2", 2), ("mkdirat", 2), ("fchmod", 3)])
def test_a_killed_create_is_all_or_nothing(modules: Modules, box: Sandbox, call: str, number: int) -> None:
    """Until it is whole it is not listed; the next run makes it whole."""
    expected = shapes(box)
    (box.state_dir / "root").rmdir() if box.layout == "kata_rs" else None
    expected.pop(f"{box.state_dir}/root", None)
    assert modules.absent().changed
    killed(modules, "present", call, number, sandboxes=wanted(box))
    seen = shapes(box) if all(tree.exists() for tree in box.trees) else {}
    assert all(seen.get(path, shape) == shape for path, shape in expected.items() if path in seen)
    made = modules.make(wanted(box))
    assert not made.failed, made.message
    assert shapes(box) == expected
    finish(modules)


@STORE
def test_a_create_between_the_reboot_and_the_clean_up(modules: Modules, box: Sandbox) -> None:
    """fail_if_exists: what the reboot left of the old one is in the way, and is told as such."""
    own_host.reboot()
    refused = modules.make(wanted(box), fail_if_exists=True)
    assert refused.failed and "exists" in refused.message
    made = modules.make(wanted(box))
    assert made.changed and not made.failed, made.message
    finish(modules)
