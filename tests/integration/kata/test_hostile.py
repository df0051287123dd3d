# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Things in the place of what is expected, file systems that do not answer, and neighbours that must not notice."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone, some_long
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes
from ansible_collections.sandboxed.containers.tests.lab import kata, kata_cgroups, kata_documents, mounting, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import Places, Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
PRECIOUS = Path("/var/lib/precious")
STORE = pytest.mark.parametrize("layout", ["kata_store"])


def document(box: Sandbox) -> Path:
    """The sandbox's main one."""
    return box.state_dir / ("persist.json" if box.layout == "kata_persist" else "state.json")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to(PRECIOUS / "file")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    trees.put_data(path)


def huge(path: Path) -> None:
    with open(path, "wb") as handle:
        handle.truncate(65 << 20)


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def numbers(path: Path) -> None:
    path.write_bytes(b'{"HypervisorState": {"Pid": 1e999}, "hypervisor": {"pid": true}, "state": 12345678901234567890}')


@pytest.mark.parametrize("thing", [fifo, link, endless, folder, huge, deep, numbers])
def test_B6_anything_in_the_place_of_a_document(modules: Modules, thing: Callable[[Path], None]) -> None:
    """Nothing blocks, nothing is followed, and force removes it."""
    box = modules.box
    trees.put_data(PRECIOUS)
    data = mounting.checksum(PRECIOUS)
    document(box).unlink()
    thing(document(box))
    found = modules.look()
    assert found["verdict"] in ("unknown", "leftover"), found
    done = modules.absent(force=True)
    assert done.changed and not done.failed, done.message
    assert gone(box) == [] and mounting.checksum(PRECIOUS) == data


@STORE
@pytest.mark.parametrize("thing", [fifo, link, folder])
def test_anything_in_the_place_of_the_lock(modules: Modules, thing: Callable[[Path], None]) -> None:
    lock = modules.box.state_dir / "lock"
    trees.put_data(PRECIOUS)
    data = mounting.checksum(PRECIOUS)
    lock.unlink()
    thing(lock)
    assert modules.look()["verdict"] != "live"
    done = modules.absent(force=True)
    assert done.changed and not done.failed, done.message
    assert gone(modules.box) == [] and mounting.checksum(PRECIOUS) == data


@pytest.mark.parametrize("place", ["share", "container"])
def test_B6_a_file_system_that_never_answers(modules: Modules, place: str) -> None:
    """A hanging network or user file system in the shared tree, where a volume was: nobody waits for it."""
    box = modules.box
    target = box.share_dir / "mounts/lab-app-1-data" if place == "share" else box.state_dir / "lab-app-1/data"
    trees.directory(target.parent, 0o750)
    keeper = mounting.silent(target)
    try:
        refused = modules.start("absent", force=True).result(30)
        assert refused.failed and "mount" in refused.message
        assert modules.info("lab-web-1").sandboxes[0]["verdict"] in ("unknown", "leftover")
        done = modules.start("absent", on_mounted="unmount").result(30)
        assert done.changed and not done.failed, done.message
        assert gone(box) == []
    finally:
        os.close(keeper)


@pytest.mark.parametrize("layout", some_long("kata_persist", "kata_store", "kata_rs"))
def test_a_neighbour_notices_nothing(crowd: Crowd, layout: str) -> None:
    """Its mounts, its data, its files and its processes, while the dead one beside it goes."""
    dead, alive = (kata.sandbox(layout, name, [name, f"lab-app-{name}"]) for name in ("lab-web-1", "lab-web-10"))
    owners = [crowd.start(alive.program(kind)) for kind in ("shim", "virtiofsd")]
    for box in (dead, alive):
        box.write()
        box.make_vm()
    shares = [box.make_share() for box in (dead, alive)]
    dead.engine_cleans_up()
    before = (mounting.below(alive.share_dir), shapes(alive), shares[1].checksum())
    data = shares[0].checksum()
    done = Modules(dead).absent(on_mounted="unmount")
    assert done.changed and not done.failed, done.message
    assert gone(dead) == [] and shares[0].checksum() == data
    assert (mounting.below(alive.share_dir), shapes(alive), shares[1].checksum()) == before
    assert all(owner.lives() for owner in owners) and Modules(alive).verdict == "live"


def test_A9_an_owner_that_is_not_reaped_is_dead(crowd: Crowd, modules: Modules) -> None:
    owner = crowd.start(modules.box.program("qemu"))
    owner.send(signal.SIGKILL)
    assert owner.wait()
    modules.box.engine_cleans_up()
    assert modules.verdict == "leftover"
    assert modules.absent().changed


def test_A9_an_owner_whose_program_was_replaced_is_an_owner(crowd: Crowd, modules: Modules) -> None:
    """An upgrade: /proc says that the executable is deleted, and so may its working directory be."""
    owner = crowd.start(modules.box.program("qemu"))
    Path(os.readlink(f"/proc/{owner.pid}/exe")).unlink()
    modules.box.engine_cleans_up()
    assert "(deleted)" in os.readlink(f"/proc/{owner.pid}/exe")
    refused = modules.absent(force=True)
    assert refused.failed and f"(pid {owner.pid}," in refused.message
    done = modules.absent(stop_processes=True)
    assert done.changed and not done.failed and not owner.lives(), done.message


@pytest.mark.long
def test_A1_a_frozen_owner_is_alive(crowd: Crowd, modules: Modules) -> None:
    """It does not even die of SIGKILL: the removal gives up after a while, and keeps everything."""
    if not (kata_cgroups.MOUNT / "freezer/cgroup.procs").exists():
        pytest.skip("there is no cgroup v1 freezer")
    cgroup = kata_cgroups.frozen("lab-web-1")
    owner = crowd.start(modules.box.program("qemu"))
    (cgroup / "cgroup.procs").write_text(str(owner.pid))
    modules.box.engine_cleans_up()
    kata_cgroups.freeze(cgroup)
    try:
        assert modules.verdict == "live"
        refused = modules.absent(stop_processes=True)
        assert refused.failed and f"(pid {owner.pid}" in refused.message
        assert all(tree.exists() for tree in modules.box.trees)
    finally:
        kata_cgroups.freeze(cgroup, "THAWED")


@STORE
@pytest.mark.parametrize("used", ["kata_store", "kata_persist"])
def test_kata_1_9_writes_both_forms(crowd: Crowd, layout: str, used: str) -> None:
    """The store and persist.json lie in the same directory; whichever layout is named, the same owners count."""
    box = kata.sandbox(layout, facts=Facts(vmm_pid=4711))
    box.write()
    content = kata_documents.persist_sandbox(box.id, box.facts, box.run_root)
    (box.state_dir / "persist.json").write_bytes(kata_documents.go(content, newline=True))
    owner = crowd.start(box.program("qemu"), pid=4711)
    modules = Modules(kata.sandbox(used))
    refused = modules.absent(force=True)
    assert refused.failed and f"(pid {owner.pid}," in refused.message
    owner.kill()
    done = modules.absent()
    assert done.changed and not done.failed, done.message
    assert not box.state_dir.exists()


NAMES = ["vm", "sbs", "root", "raw", "lock", "shared", "sandboxes", "kata-containers", "mounts"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", some_long("kata_store", "kata_persist", "kata_rs"))
def test_a_sandbox_may_be_called_like_a_directory(crowd: Crowd, layout: str, name: str) -> None:
    """Another one lives, whose paths have that name as a component."""
    box, other = kata.sandbox(layout, name, ["lab-app-9"]), kata.sandbox(layout, "lab-web-1")
    owner = crowd.start(other.program("virtiofsd"))
    for one in (box, other):
        one.write()
        one.make_vm()
        trees.directory(one.share_dir / "mounts", 0o750)
    other.engine_cleans_up()
    before = shapes(other)
    modules = Modules(box)
    assert modules.look()["verdict"] != "live"
    done = modules.absent(force=True)
    assert gone(box) == [] or done.failed, done.answer
    assert shapes(other) == before and other.share_dir.exists() and owner.lives()


def test_the_jail_of_firecracker_is_bound_on_itself(host: None) -> None:
    """As Kata makes it, shared, with files bound into it."""
    box = kata.sandbox("kata_persist", facts=Facts(hypervisor="firecracker"))
    box.write()
    box.make_vm()
    trees.put_data(PRECIOUS)
    jail = box.firecracker_dir / "root"
    mounting.bind(jail, jail, "shared")
    mounting.bind(PRECIOUS / "file", jail / "kernel")
    data = mounting.checksum(PRECIOUS)
    assert Modules(box).absent().failed
    done = Modules(box).absent(on_mounted="unmount")
    assert done.changed and not done.failed, done.message
    assert gone(box) == [] and mounting.below(box.firecracker_dir) == [] and mounting.checksum(PRECIOUS) == data


def on_ext4(layout: str) -> Sandbox:
    root = Path("/var/lib/small")
    mounting.small_ext4(root, Path("/var/lib/image"))
    box = kata.sandbox(layout, "lab-web-1", ["lab-web-1"], places=Places(root))
    box.write()
    return box


def test_an_immutable_file_is_told_and_can_be_finished(host: None, layout: str) -> None:
    """What was begun is finished by the next run, once the reason is gone."""
    box = on_ext4(layout)
    path = next(box.state_dir.rglob("*.json"))
    subprocess.run(["chattr", "+i", str(path)], check=True)
    refused = Modules(box).absent()
    assert refused.failed and "not permitted" in refused.message, refused.message
    held = [one for one in box.places.base.rglob(path.name) if "i" in attributes(one)]
    assert len(held) == 1
    assert not Modules(box).info().failed
    subprocess.run(["chattr", "-i", str(held[0])], check=True)
    done = Modules(box).absent()
    assert done.changed and not done.failed, done.message
    assert gone(box) == []


def attributes(path: Path) -> str:
    return subprocess.run(["lsattr", "-d", str(path)], check=True, capture_output=True, text=True).stdout.split()[0]


def test_a_read_only_file_system_is_told(host: None, layout: str) -> None:
    box = on_ext4(layout)
    before = shapes(box)
    mounting.mount("none", box.places.base, flags=mounting.MS_REMOUNT | mounting.MS_RDONLY)
    refused = Modules(box).absent()
    assert refused.failed and not refused.changed and "ead-only" in refused.message, refused.message
    assert Modules(box).verdict == "leftover"
    mounting.mount("none", box.places.base, flags=mounting.MS_REMOUNT)
    assert shapes(box) == before and Modules(box).absent().changed


@pytest.mark.long
def test_a_thousand_mounts_of_failed_starts(host: None, layout: str) -> None:
    """runtime#2816: 20,000 in two hours."""
    box = kata.sandbox(layout)
    box.write()
    trees.put_data(PRECIOUS)
    inside = box.share_dir / {"kata_store": "", "kata_persist": "mounts", "kata_rs": "rw/passthrough"}[layout]
    for number in range(1000):
        mounting.bind(PRECIOUS, inside / f"lab-app-{number}-data")
    data = mounting.checksum(PRECIOUS)
    refused = Modules(box).absent()
    assert refused.failed and len(refused.message) < 1000
    done = Modules(box).start("absent", on_mounted="unmount").result(120)
    assert done.changed and not done.failed, done.message
    assert gone(box) == [] and mounting.below(box.share_dir) == [] and mounting.checksum(PRECIOUS) == data
