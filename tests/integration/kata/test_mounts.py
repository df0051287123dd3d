# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts and links that lead out of a sandbox: what lies behind them stays (README.md R4, R6; safety.md D3, D4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, own_host, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

pytestmark = pytest.mark.real
PRECIOUS = Path("/var/lib/precious")
GO = pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
STORE = pytest.mark.parametrize("layout", ["kata_store"])


def levels(box: Sandbox) -> list[Path]:
    """A directory at each level of all that belongs to a sandbox; made."""
    found = [tree / name for tree in box.trees for name in ("", "extra", "lab-web-1", "lab-web-1/raw")]
    found += [
        box.share_dir / name for name in ("", "mounts", "lab-web-1/rootfs", "rw/passthrough/lab-web-1", "private")
    ]
    if box.layout != "kata_rs":
        found += [box.vm_dir, box.vm_dir / "shared"]
    if box.layout == "kata_persist":
        found += [box.initdata, box.firecracker_dir, box.firecracker_dir / "root/run"]
    for path in found:
        trees.directory(path, 0o750)
    return found


def by_bind(target: Path, _name: str) -> None:
    mounting.bind(PRECIOUS, target)


def by_overlay(target: Path, name: str) -> None:
    mounting.overlay(target, PRECIOUS, Path("/var/lib/overlay") / name)


def by_file(target: Path, _name: str) -> None:
    mounting.bind(PRECIOUS / "file", target / "hosts")


def by_nested(target: Path, _name: str) -> None:
    """A mount on a mount, and one below it."""
    mounting.tmpfs(target)
    mounting.bind(PRECIOUS, target / "inner")
    mounting.bind(PRECIOUS / "inner", target / "inner/inner")


def by_read_only(target: Path, _name: str) -> None:
    mounting.bind(PRECIOUS, target, read_only=True)


MOUNTS = [by_bind, by_overlay, by_file, by_nested, by_read_only]


def mounted_everywhere(layout: str) -> list[Sandbox]:
    """A sandbox for each level and kind of mount, mounted there."""
    boxes = []
    for number, mount in enumerate(MOUNTS):
        for level in range(len(levels(kata.sandbox(layout, "model")))):
            box = kata.sandbox(layout, f"lab-web-{number}-{level}", ["lab-web-1"])
            box.write()
            target = levels(box)[level]
            if target not in box.trees:  # a mount on the very directory hides it: see the next test
                mount(target, box.id)
                boxes.append(box)
    return boxes


def test_K13_S2_RS1_mounts_at_any_level_refuse_or_are_unmounted(host: None, layout: str) -> None:
    """The runtimes' recursive deletes cross them and empty the host's directories (R4)."""
    trees.put_data(PRECIOUS)
    table, data = mounting.table(), mounting.checksum(PRECIOUS)
    boxes = mounted_everywhere(layout)
    assert len(boxes) >= 40
    mounted = mounting.table()
    modules, names = Modules(boxes[0]), [box.id for box in boxes]
    refused = modules.absent(sandbox_id=names, force=True)
    assert refused.failed and not refused.changed, refused.answer
    assert all("mount" in one["msg"] for one in refused.sandboxes), refused.sandboxes
    assert mounting.table() == mounted and mounting.checksum(PRECIOUS) == data
    done = modules.absent(sandbox_id=names, on_mounted="unmount")
    assert not done.failed, done.message
    assert [left for box in boxes for left in gone(box)] == []
    assert mounting.table() == table and mounting.checksum(PRECIOUS) == data


def test_R4_a_mount_that_hides_the_sandbox_is_kept(modules: Modules) -> None:
    """What lies below it cannot be looked at, so nobody knows what would be removed."""
    box = modules.box
    trees.put_data(PRECIOUS)
    before = shapes(box)
    for tree in box.trees:
        mounting.bind(PRECIOUS, tree)
        mounted, data = mounting.table(), mounting.checksum(PRECIOUS)
        refused = modules.absent(on_mounted="unmount", force=True)
        assert refused.failed and str(tree) in refused.message
        assert mounting.checksum(PRECIOUS) == data and mounting.table() == mounted
        mounting.unmount(tree)
    assert shapes(box) == before


def test_K14_links_at_any_level_are_never_followed(modules: Modules) -> None:
    """A link planted by the guest, or anywhere else: to a directory, to a file, to a mount point, to itself."""
    box = modules.box
    trees.put_data(PRECIOUS)
    busy = Path("/var/lib/busy")
    mounting.bind(PRECIOUS, busy)
    for target in levels(box):
        for name, goal in (("d", PRECIOUS), ("f", PRECIOUS / "file"), ("m", busy), ("loop", target / "loop")):
            (target / name).symlink_to(goal)
        (target / "up").symlink_to("../../../../../../../var/lib/precious")
    data, table = mounting.checksum(PRECIOUS), mounting.table()
    done = modules.absent(on_mounted="unmount")
    assert done.changed and not done.failed, done.message
    assert gone(box) == []
    assert mounting.table() == table
    assert mounting.checksum(PRECIOUS) == data


def test_K14_a_link_in_the_place_of_a_directory_with_mounts(host: None, layout: str) -> None:
    """runtime#2474: the path below the link would be somebody else's mount."""
    other = Path("/var/lib/other")
    trees.put_data(PRECIOUS)
    mounting.bind(PRECIOUS, other / "lab-web-1/rootfs")
    boxes, links = [], []
    for number, part in enumerate(("", "mounts", "mounts/lab-web-1", "lab-web-1", "rw", "rw/passthrough", "ro")):
        box = kata.sandbox(layout, f"lab-web-{number}")
        box.write()
        link = box.share_dir / part if part else box.share_dir
        trees.directory(link.parent, 0o750)
        link.symlink_to(other)
        boxes.append(box)
        links.append(link)
    data, table = mounting.checksum(PRECIOUS), mounting.table()
    done = Modules(boxes[0]).absent(sandbox_id=[box.id for box in boxes], on_mounted="unmount")
    assert done.changed and not done.failed, done.message
    assert [link for link in links if link.is_symlink()] == []
    assert [left for box in boxes for left in gone(box)] == []
    assert mounting.table() == table
    assert mounting.checksum(PRECIOUS) == data


@contextmanager
def another_namespace(crowd: Crowd, prepare: Callable[[], None]) -> Iterator[int]:
    """A process in a mount namespace of its own, in which prepare has run; yields its pid."""
    receive, send = os.pipe()
    end, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(release)
            own_host.leave_mount_namespace()
            prepare()
            os.write(send, b"+")
            os.read(end, 1)
        finally:
            os._exit(0)
    os.close(send)
    os.close(end)
    try:
        assert os.read(receive, 1) == b"+", "the other namespace could not be made"
        yield pid
    finally:
        os.close(release)
        os.close(receive)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("level", ["tree", "container", "share"])
def test_D3_a_mount_in_another_namespace_only(crowd: Crowd, modules: Modules, level: str) -> None:
    """rmdir of such a directory succeeds, and detaches what is mounted there."""
    box = modules.box
    trees.put_data(PRECIOUS)
    folders = {"tree": box.trees[0], "container": box.state_dir / "lab-app-1", "share": box.share_dir / "mounts"}
    target = folders[level]
    trees.directory(target, 0o750)
    before, data = trees.listing(*box.trees), mounting.checksum(PRECIOUS)
    with another_namespace(crowd, lambda: mounting.bind(PRECIOUS, target)) as pid:
        table = mounting.table(pid)
        for options in ({}, {"on_mounted": "unmount", "force": True}):
            refused = modules.absent(**options)
            assert refused.failed and str(pid) in refused.message, refused.answer
        assert mounting.table(pid) == table
        assert trees.listing(*box.trees) == before
    assert modules.absent().changed
    assert gone(box) == [] and mounting.checksum(PRECIOUS) == data


def test_D4_a_peer_keeps_its_mounts(crowd: Crowd, modules: Modules) -> None:
    """A volume of the kubelet's with a mount inside, bound into the shared tree with shared propagation."""
    box = modules.box
    trees.put_data(PRECIOUS)
    volume = Path("/var/lib/kubelet/pods/p1/volumes/v1")
    mounting.tmpfs(volume)
    mounting.propagate(volume, "shared")
    trees.put_data(volume)
    mounting.bind(PRECIOUS, volume / "sub", "shared")
    target = box.share_dir / ("rw/passthrough/v1" if box.layout == "kata_rs" else "mounts/lab-app-1-v1")
    mounting.make_target(volume, target)
    mounting.mount(str(volume), target, flags=mounting.MS_BIND | mounting.MS_REC)
    data = mounting.checksum(volume, PRECIOUS)
    peers = mounting.below(Path("/var/lib/kubelet"))
    assert str(volume / "sub") in peers and str(target / "sub") in mounting.below(box.share_dir)
    with another_namespace(crowd, lambda: None) as pid:
        done = modules.absent(on_mounted="unmount")
        assert mounting.below(Path("/var/lib/kubelet")) == peers
        assert mounting.checksum(volume, PRECIOUS) == data
        assert mounting.below(Path("/var/lib/kubelet"), pid) == peers
    if done.failed:  # a namespace that is no peer keeps its copy: then nothing may be deleted either
        assert box.share_dir.exists()
        done = modules.absent(on_mounted="unmount")
    assert not done.failed, done.message
    assert mounting.below(Path("/var/lib/kubelet")) == peers
    assert mounting.checksum(volume, PRECIOUS) == data
    assert gone(box) == []


def test_D4_a_busy_mount_is_kept_and_its_user_named(crowd: Crowd, modules: Modules) -> None:
    """Never MNT_DETACH: EBUSY means keep."""
    box = modules.box
    shared = box.make_share()
    box.engine_cleans_up()
    data = shared.checksum()
    someone = crowd.start(Program("/bin/someone", cwd=shared.mounts[1]))
    refused = modules.absent(on_mounted="unmount", force=True)
    assert refused.failed and f"pid {someone.pid}" in refused.message
    assert str(shared.mounts[1]) in mounting.below(box.share_dir)
    assert shared.checksum() == data and all(tree.exists() for tree in box.trees)
    someone.kill()
    assert not modules.absent(on_mounted="unmount").failed
    assert gone(box) == [] and shared.checksum() == data


@GO
def test_K15_a_factorys_link_is_removed_and_never_its_target(host: None, layout: str) -> None:
    """The VM directory and the shared tree are links to a machine that may be waiting for its next sandbox."""
    box = kata.sandbox(layout, facts=Facts(vm_id="vm-1"))
    box.write()
    box.make_vm()
    shared = box.make_share()
    box.engine_cleans_up()
    kata.template()
    machine = box.vm_dir.parent / "vm-1"
    before, data = trees.listing(machine), shared.checksum()
    done = Modules(box).absent(on_mounted="unmount")
    assert not done.failed, done.message
    assert gone(box) == []
    assert trees.listing(machine) == before
    assert shared.checksum() == data
    assert sorted(path.name for path in Path("/run/vc/vm/template").iterdir()) == ["memory", "state"]


@GO
def test_K15_a_link_to_anywhere(host: None, layout: str) -> None:
    others = (PRECIOUS, Path("/run/vc/vm/other"))
    for one in others:
        trees.put_data(one)
    before = trees.listing(*others)
    boxes = []
    for number, goal in enumerate(
        ("/var/lib/precious", "../../../var/lib/precious", "/run/vc/vm/other", "/", "nowhere")
    ):
        box = kata.sandbox(layout, f"lab-web-{number}")
        box.write()
        box.vm_dir.symlink_to(goal)
        boxes.append(box)
    done = Modules(boxes[0]).absent(sandbox_id=[box.id for box in boxes])
    assert not done.failed, done.message
    assert [left for box in boxes for left in gone(box)] == []
    assert trees.listing(*others) == before


@GO
def test_D5_the_template_is_no_sandboxs_machine(host: None, layout: str) -> None:
    """A sandbox that is called like the factory's directory."""
    box = kata.sandbox(layout, "template")
    box.write()
    folder = kata.template()
    done = Modules(box).absent(on_mounted="unmount")
    assert not done.failed, done.message
    assert not box.state_dir.exists()
    assert str(folder) in mounting.below(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["memory", "state"]


def test_S1_the_read_only_bind_of_a_crashed_sandbox_is_found(modules: Modules) -> None:
    """kata#1896: Kata's own clean-up decides from memory, and does nothing after a crash of the shim."""
    box = modules.box
    shared = box.make_share()
    box.engine_cleans_up()
    assert len(mounting.below(box.share_dir)) >= 6
    assert str(box.share_dir) in modules.look()["paths"]
    data = shared.checksum()
    done = modules.absent(on_mounted="unmount")
    assert not done.failed, done.message
    assert mounting.below(box.share_dir) == [] and gone(box) == []
    assert shared.checksum() == data
