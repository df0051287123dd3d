# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defects of the runtimes' own state code that have no place in the other files, one test each (kata-*.md)."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone, some_long
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes, wanted
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, processes, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import RsSandbox, Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
STORE = pytest.mark.parametrize("layout", ["kata_store"])
GO = pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
RS = pytest.mark.parametrize("layout", ["kata_rs"])
EVERYWHERE = (Path("/run"), Path("/var/lib"))


def test_K2_looking_and_removing_nothing_make_nothing(host: None, layout: str) -> None:
    """Asking Kata 1.x for the status of what does not exist makes both its trees."""
    modules = Modules(kata.sandbox(layout, "not-there"))
    before = trees.listing(*EVERYWHERE)
    for result in (modules.info(), modules.info("not-there"), modules.absent()):
        assert not result.failed and not result.changed, result.message
    assert [one for one in trees.listing(*EVERYWHERE) if "/lock/" not in one] == before


def test_K2_looking_at_what_is_there_changes_nothing(modules: Modules) -> None:
    """Nor the lock's time stamps, which a writing open would change (promise 6)."""

    def stamps() -> dict[str, tuple[int, int]]:
        paths = [path for tree in modules.box.trees for path in [tree, *tree.rglob("*")]]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}

    before = stamps()
    modules.info()
    modules.info("lab-web-1", with_documents=True)
    modules.absent(_ansible_check_mode=True)
    assert stamps() == before


@GO
def test_K5_the_lock_is_free_after_a_delete(crowd: Crowd, modules: Modules, box: Sandbox) -> None:
    """Kata's unlock does nothing once the store is gone: a waiter then waits for the life of the process."""
    lock = box.state_dir / "lock" if box.layout == "kata_store" else box.state_dir
    known = lock.stat()
    assert modules.absent().changed
    assert processes.holds_lock(known) == []
    box.write()
    handle = os.open(lock, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)


@GO
def test_K6_a_creator_never_trusts_the_lock_of_a_dead_tree(modules: Modules, box: Sandbox) -> None:
    """K6, P5: it waits, the tree is removed and made anew by somebody else, and only the new lock counts."""
    lock = box.state_dir / "lock" if box.layout == "kata_store" else box.state_dir
    handle = os.open(lock, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    waiting = modules.start("absent", lock_timeout=30)
    time.sleep(1)  # it waits by trying again, with a descriptor that is open for microseconds only
    for tree in box.trees:
        trees.remove(tree)
    box.write()
    second = os.open(lock, os.O_RDONLY)
    fcntl.flock(second, fcntl.LOCK_EX)
    os.close(handle)
    time.sleep(1)
    assert box.state_dir.exists() and all(tree.exists() for tree in box.trees), "the new lock was not waited for"
    os.close(second)
    waiting.result()
    assert not (box.state_dir.exists() and not lock.exists())


@STORE
@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/x", "..", ".", "a\0b"])
def test_K7_a_raw_item_stays_in_its_directory(modules: Modules, name: str) -> None:
    before = trees.listing(*modules.box.trees)
    refused = modules.present(raw_items={name: "text"})
    assert refused.failed and not refused.changed
    assert trees.listing(*modules.box.trees) == before


@STORE
def test_K7_raw_items_are_made_and_their_url_is_told(modules: Modules, box: Sandbox) -> None:
    """The scheme is file, whatever the back end is called."""
    made = modules.present(raw_items={"item-1": "some text"})
    assert made.changed and not made.failed, made.message
    assert (box.state_dir / "raw/item-1").read_text() == "some text"
    assert f"file://{box.state_dir}/raw/item-1" in str(made.answer)
    assert modules.present(raw_items={"item-1": "some text"}).unchanged
    random = modules.present(raw_items={"": "more"})
    assert random.changed and f"file://{box.state_dir}/raw/raw-" in str(random.answer)


@pytest.mark.parametrize("layout", some_long("kata_store", "kata_persist", "kata_rs"))
@pytest.mark.parametrize("name", ["../../x", "..", ".", "", "a/b", "a\0b", "/run/vc"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_K8_no_id_leaves_its_root(modules: Modules, state: str, name: str) -> None:
    trees.put_data(Path("/run/x"))
    trees.put_data(Path("/run/vc/x"))
    before = trees.listing(*EVERYWHERE)
    options = {"documents": wanted(modules.box)[0]["documents"]} if state == "present" else {}
    refused = modules.start(state, sandbox_id=name, **options).result()
    assert refused.failed and not refused.changed
    refused = modules.start(state, sandbox_id="lab-web-1", container_id=name, **options).result()
    assert not refused.changed or name == ""
    assert [one for one in trees.listing(*EVERYWHERE) if "/lock/" not in one] == before or name == ""


def test_K8_RS9_odd_leftovers_can_be_removed(host: None, layout: str) -> None:
    """Kata 1.x checks no name, runtime-rs accepts any Unicode letter. Nothing like it can be made by us."""
    names = [
        "a%2f..",
        "a?b",
        "a#b",
        "with blank",
        "-rf",
        "naïve-ß",
        "沙盒-1",
        "x" * 200,
        "*",
        "a",
        "_a",
        "a..b",
        ".hidden",
    ]
    boxes, other = [kata.sandbox(layout, name) for name in names], kata.sandbox(layout, "lab-web-1")
    for box in (*boxes, other):
        box.write()
    modules = Modules(other)
    assert {one["sandbox_id"] for one in modules.info().sandboxes} == {*names, "lab-web-1"}
    done = modules.absent(sandbox_id=names)
    assert done.changed and not done.failed, done.message
    assert [left for box in boxes for left in gone(box)] == [] and other.state_dir.exists()
    for box in boxes:
        refused = modules.make(wanted(box)[:1])
        assert refused.failed and not box.state_dir.exists(), box.id


@GO
def test_P5_a_directory_that_is_made_anew_is_looked_at_anew(modules: Modules, box: Sandbox, crowd: Crowd) -> None:
    """The new sandbox of the same name lives, whatever was known of the old one."""
    lock = box.state_dir / "lock" if box.layout == "kata_store" else box.state_dir
    handle = os.open(lock, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    waiting = modules.start("absent", lock_timeout=30)
    time.sleep(0.5)
    for tree in box.trees:
        trees.remove(tree)
    box.write()
    owner = crowd.start(box.program("qemu"))
    expected = shapes(box)
    os.close(handle)
    result = waiting.result()
    # It either met the new one, or came in the moment when there was none.
    assert result.failed or not result.changed, result.answer
    assert shapes(box) == expected and owner.lives()


@RS
def test_RS3_what_a_crash_clean_up_of_the_runtime_leaves(crowd: Crowd, modules: Modules, box: Sandbox) -> None:
    """virtiofsd, the shared tree with its mounts, and QEMU: found, stopped and removed in one run."""
    shared = box.make_share()
    owners = [crowd.start(box.program(kind)) for kind in ("qemu", "virtiofsd")]
    box.engine_cleans_up()
    data = shared.checksum()
    assert modules.absent(on_mounted="unmount").failed
    done = modules.absent(on_mounted="unmount", stop_processes=True)
    assert done.changed and not done.failed, done.message
    assert not any(owner.lives() for owner in owners)
    assert gone(box) == [] and mounting.below(box.share_dir) == [] and shared.checksum() == data


@RS
def test_RS5_a_jailed_machines_state_is_found_where_it_is_written(host: None, layout: str) -> None:
    """<vm_path>/root/state.json with vm_path /run/kata/firecracker/<sid>, which the runtime never reads again."""
    box = kata.sandbox(layout, facts=Facts(hypervisor="firecracker", jailed=True))
    other = kata.sandbox(layout, "lab-web-2", facts=Facts(hypervisor="firecracker", jailed=True))
    assert isinstance(box, RsSandbox) and isinstance(other, RsSandbox)
    box.write()
    other.write()
    modules = Modules(box)
    names = [one["sandbox_id"] for one in modules.info().sandboxes]
    assert names == ["lab-web-1", "lab-web-2"], "the directory of all jails is no sandbox"
    found = modules.look()
    assert "firecracker" in str(modules.info("lab-web-1", with_documents=True).answer), found
    done = modules.absent()
    assert done.changed and not done.failed, done.message
    assert not box.state_dir.exists() and not box.jail.exists()
    assert other.jail.exists() and other.state_dir.exists()


@RS
def test_RS9_both_spellings_of_a_shim_socket_are_left_to_the_engine(modules: Modules, box: Sandbox) -> None:
    """Names in /run/containerd/s are hashes, which say nothing of the sandbox: nobody's."""
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    for name in (digest, digest.upper()):
        trees.leave_socket(Path("/run/containerd/s") / name)
    assert modules.absent().changed
    assert len(list(Path("/run/containerd/s").iterdir())) == 2


def test_nothing_is_left_of_our_own(modules: Modules) -> None:
    """Beside our lock, which is never unlinked (C2), a removal leaves nothing of its own."""
    box = modules.box
    for tree in box.trees:
        trees.remove(tree)
    before = {path for root in EVERYWHERE for path in root.rglob("*")}
    box.write()
    assert modules.absent().changed
    left = {path for root in EVERYWHERE for path in root.rglob("*")} - before
    assert all("sandboxed.containers" in path.parts for path in left), left
