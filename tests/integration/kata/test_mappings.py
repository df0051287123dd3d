# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kata 1.x's mappings on a host of their own: living sandboxes, mounts and full file systems (promises 2 and 5)."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules
from ansible_collections.sandboxed.containers.tests.integration.kata.test_mounts import another_namespace
from ansible_collections.sandboxed.containers.tests.lab import mounting, trees
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
ROOT = Path("/run/kata-containers/containers-mapping")
PRECIOUS = Path("/var/lib/precious")
CHANGES: list[dict[str, Any]] = [
    {"state": "absent"},
    {"sandbox_id": "pod-2", "remap": True},
    {"sandbox_id": "pod-1", "remap": True},
]


def mapping(container_id: str, **options: Any) -> Result:
    given = {"container_id": container_id, "sees_all_processes": True, **options}
    return Forked("container_id_mapping", given).result()


def add(container_id: str, *sandboxes: str, root: Path = ROOT) -> None:
    for name in ("", *sandboxes):
        trees.directory(root / container_id / name, 0o750)


def names(root: Path = ROOT) -> list[str]:
    """All that is there, hidden remains above the root included."""
    return sorted(str(path.relative_to(root.parent)) for path in root.parent.rglob("*"))


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_M2_E3_the_mapping_of_a_living_sandbox_is_kept(crowd: Crowd, modules: Modules) -> None:
    """Without it Kata cannot find the container. The mappings lasted until 1.12, whose state is a persist.json."""
    add("lab-app-1", modules.box.id)
    owner = crowd.start(modules.box.program("qemu"))
    refused = mapping("lab-app-1", state="absent")
    assert refused.failed and not refused.changed
    assert f"(pid {owner.pid}," in refused.message and "Remove the sandbox first" in refused.message
    moved = mapping("lab-app-1", sandbox_id="lab-other-1", remap=True)
    assert moved.failed and not moved.changed and f"(pid {owner.pid}," in moved.message  # M2
    assert os.listdir(ROOT / "lab-app-1") == [modules.box.id]
    owner.close()
    modules.box.engine_cleans_up()  # before that, its engine may still know it (A5)
    assert mapping("lab-app-1", state="absent").changed
    assert names() == [ROOT.name]


@pytest.mark.parametrize("entries", [("pod-1",), ("pod-1", "pod-9")], ids=["one", "several"])
@pytest.mark.parametrize("options", CHANGES, ids=["absent", "another", "the same"])
def test_D3_a_mount_in_another_namespace_only(crowd: Crowd, entries: tuple[str, ...], options: dict[str, Any]) -> None:
    """rmdir of such a directory succeeds, and detaches what is mounted there."""
    trees.put_data(PRECIOUS)
    add("app-1", *entries)
    before = names()
    with another_namespace(crowd, lambda: mounting.bind(PRECIOUS, ROOT / "app-1" / entries[-1])) as pid:
        table = mounting.table(pid)
        done = mapping("app-1", **options)
        if entries == ("pod-1",) and options.get("sandbox_id") == "pod-1":
            assert not done.failed and not done.changed  # it is what is wished, and nothing is touched
        else:
            assert done.failed and not done.changed and str(pid) in done.message, done.answer
        assert (mounting.table(pid), names()) == (table, before)
    assert not mapping("app-1", **options).failed


@pytest.mark.parametrize("where", ["app-1", "app-1/pod-1"])
@pytest.mark.parametrize("options", CHANGES, ids=["absent", "another", "the same"])
def test_D3_what_is_mounted_on_a_mapping_stays(host: None, where: str, options: dict[str, Any]) -> None:
    """An empty directory that is mounted looks like a mapping's own."""
    (PRECIOUS / "inner").mkdir(parents=True)
    add("app-1", "pod-1")
    source = PRECIOUS if where == "app-1" else PRECIOUS / "inner"
    mounting.bind(source, ROOT / where)
    table = mounting.table()
    done = mapping("app-1", **options)
    if not (where == "app-1/pod-1" and options.get("sandbox_id") == "pod-1"):
        assert done.failed and "mount" in done.message, done.answer
    assert not done.changed
    assert mounting.table() == table
    assert os.listdir(PRECIOUS) == ["inner"]


def test_D3_data_behind_a_mount_in_a_tombstone_stays(host: None) -> None:
    """What a killed run left is not finished as long as something is mounted there."""
    trees.put_data(PRECIOUS)
    rest = ROOT.parent / ".sbx-del.app-1.0123456789abcdef"
    add("other", "pod-1")
    mounting.bind(PRECIOUS, rest / "pod-1")
    data, table = mounting.checksum(PRECIOUS), mounting.table()
    refused = mapping("app-1", state="absent")
    assert refused.failed and "mount" in refused.message, refused.answer
    assert (mounting.checksum(PRECIOUS), mounting.table()) == (data, table)
    mounting.unmount(rest / "pod-1")
    assert mapping("app-1", state="absent").changed
    assert mounting.checksum(PRECIOUS) == data and not rest.exists()


def write_all(path: Path) -> None:
    with open(path, "wb", buffering=0) as handle:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while handle.write(bytes(size)):
                    pass
        handle.write(b"x")


def make_many(folder: Path) -> None:
    folder.mkdir()
    for number in range(10_000):
        (folder / str(number)).touch()


def use_up(folder: Path, kind: str) -> None:
    """Every byte of an ext4, every inode of a tmpfs."""
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (write_all if kind == "ext4" else make_many)(folder / "ballast")


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
@pytest.mark.parametrize("spare", [0, 1])
def test_a_full_file_system(host: None, kind: str, spare: int) -> None:
    """Nothing half is left, what is there can still be moved and removed. spare: there is room for one directory."""
    small = Path("/var/lib/small")
    if kind == "ext4":
        mounting.small_ext4(small, Path("/var/lib/image"))
    else:
        mounting.tmpfs(small, "mode=755,size=2m,nr_inodes=64")
    root = small / "kata/mappings"
    add("old-1", "pod-1", root=root)
    add("old-2", root=root)
    trees.directory(small / "spare", 0o750)
    use_up(small, kind)
    if spare:
        (small / "spare").rmdir()
    before = names(root)
    many = {"mappings": [{"container_id": f"new-{number}", "sandbox_id": "pod-1"} for number in range(3)]}
    refused = Forked("container_id_mapping", {"root": str(root), "sees_all_processes": True, **many}).result()
    assert refused.failed and not refused.changed
    assert "No space left on device" in refused.message
    assert names(root) == before
    if not spare:
        completion = mapping("old-2", root=str(root), sandbox_id="pod-1")
        assert completion.failed and "No space left on device" in completion.message
        assert names(root) == before
    assert mapping("old-1", root=str(root), sandbox_id="pod-2", remap=True).changed
    assert os.listdir(root / "old-1") == ["pod-2"]
    assert mapping("old-1", root=str(root), state="absent").changed
    assert not (root / "old-1").exists()
    assert mapping("old-2", root=str(root), state="absent").changed
    assert names(root) == ["mappings"]
