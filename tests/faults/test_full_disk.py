# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File systems that are really full: the old state stays, and nothing half is left (promise 2)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.faults import bundles, gvisor, kata, snapshot
from ansible_collections.sandboxed.containers.tests.faults.running import Ended, Task, Worker
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT

pytestmark = pytest.mark.real
_SIZE, _INODES = 2 << 20, 200


def _command(*words: str) -> str:
    return subprocess.run(words, check=True, timeout=60, capture_output=True, text=True).stdout


@pytest.fixture(params=[*gvisor.LAYOUTS, *kata.LAYOUTS, *bundles.LAYOUTS])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker in whose directory are two small file systems, unmounted at the end."""
    folder = tmp_path_factory.mktemp("small")
    with ExitStack() as stack:
        for kind in ("ext4", "tmpfs"):
            disk = folder / "case" / kind
            disk.mkdir(parents=True)
            if kind == "ext4":
                (folder / "image").write_bytes(b"")
                os.truncate(folder / "image", _SIZE)
                _command("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(folder / "image"))
                _command("mount", "-o", "loop", str(folder / "image"), str(disk))
            else:
                _command("mount", "-t", "tmpfs", "-o", f"size={_SIZE},nr_inodes={_INODES}", "tmpfs", str(disk))
            stack.callback(_command, "umount", str(disk))
        yield stack.enter_context(Worker(folder))


class Disk(NamedTuple):
    """A small file system, and how tasks are run on it."""

    worker: Worker
    path: Path
    layout: str

    def run(self, state: str, **options: Any) -> Ended:
        common = kind_of(self.layout).common(self.layout)
        moved = {
            name: value.replace(ROOT, str(self.path)) if isinstance(value, str) else value
            for name, value in common.items()
        }
        module = "container_bundle" if self.layout in bundles.LAYOUTS else "sandbox_state"
        return self.worker.run(Task(module, {**moved, "state": state, **options}))

    def remove(self, **options: Any) -> Ended:
        """Let the object be absent."""
        name = "container_id" if self.layout in bundles.LAYOUTS else "sandbox_id"
        return self.run("absent", **{name: "fault-1", **options})

    def use_up_inodes(self, spare: int) -> None:
        """Make files until there may be no more, and give some of them back."""
        folder = self.path / "many"
        folder.mkdir()
        with suppress(OSError):
            for number in range(_INODES):
                (folder / str(number)).touch()
        for path in list(folder.iterdir())[:spare]:
            path.unlink()

    def fill(self) -> None:
        """Write until nothing more fits; the inodes are not used up."""
        with open(self.path / "filling", "wb", buffering=0) as file:
            for size in (1 << 16, 1 << 10, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue


@pytest.fixture(params=["ext4", "tmpfs"])
def disk(request: pytest.FixtureRequest, both: Worker, layout: str) -> Disk:
    """An empty one."""
    path = both.root / str(request.param)
    for name in os.listdir(path):
        if name != "lost+found":
            shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()
    return Disk(both, path, layout)


def kind_of(layout: str) -> ModuleType:
    """The file that knows a layout."""
    return next(kind for kind in (gvisor, kata, bundles) if layout in kind.LAYOUTS)


def wish(layout: str, text: str = "") -> dict[str, Any]:
    """A sandbox or a bundle. text: what its documents have beside the usual."""
    if layout in bundles.LAYOUTS:
        return {"container_id": "fault-1", "spec": bundles.spec(annotations={"text": text})}
    found: dict[str, Any] = kind_of(layout).wish(layout)
    for content in found["documents"].values():
        if isinstance(content, dict):
            content["text"] = text
    return found


def test_an_update_leaves_the_old_state(disk: Disk) -> None:
    assert disk.run("present", **wish(disk.layout)).changed
    disk.fill()
    before = snapshot.take(disk.path)
    refused = disk.run("present", **wish(disk.layout, "y" * 20_000))
    assert refused.failed and not refused.changed
    assert "No space left on device" in refused.message
    assert snapshot.take(disk.path) == before

    (disk.path / "filling").unlink()
    assert disk.run("present", **wish(disk.layout, "y" * 20_000)).changed
    again = disk.run("present", **wish(disk.layout, "y" * 20_000))
    assert not again.changed and not again.failed


def test_a_create_leaves_nothing(disk: Disk) -> None:
    assert disk.run("present", **wish(disk.layout)).changed
    assert disk.remove().changed
    disk.fill()
    before = snapshot.take(disk.path)
    refused = disk.run("present", **wish(disk.layout))
    assert refused.failed and not refused.changed
    assert "No space left on device" in refused.message
    assert snapshot.take(disk.path) == before

    (disk.path / "filling").unlink()
    assert disk.run("present", **wish(disk.layout)).changed


def test_a_create_leaves_no_directories_above_it(disk: Disk) -> None:
    disk.fill()
    before = snapshot.take(disk.path)
    refused = disk.run("present", **wish(disk.layout))
    assert refused.failed and not refused.changed
    assert "No space left on device" in refused.message
    assert snapshot.take(disk.path) == before


@pytest.mark.parametrize("layout", bundles.LAYOUTS)
@pytest.mark.parametrize("disk", ["tmpfs"], indirect=True)
def test_a_bundle_is_made_whole_or_not_at_all(disk: Disk) -> None:
    """There is no room at each of its steps in turn; all that were done before it are taken back (containerd#2605)."""
    host = bundles.Host(disk.path, disk.layout)
    host.bystanders()
    for spare in range(_INODES):
        disk.use_up_inodes(spare)
        before = snapshot.take(disk.path)
        made = disk.run("present", **wish(disk.layout))
        if not made.failed:
            break
        assert not made.changed and "No space left on device" in made.message, made.message
        assert snapshot.take(disk.path) == before
        shutil.rmtree(disk.path / "many")
    assert made.changed and spare > 2, spare
    assert disk.remove().changed
    assert snapshot.take(disk.path) == before


def test_a_full_disk_can_be_cleaned(disk: Disk) -> None:
    before = snapshot.take(disk.path)
    assert disk.run("present", **wish(disk.layout)).changed
    disk.fill()
    removed = disk.remove()
    assert removed.changed and not removed.failed, removed.message
    left = snapshot.take(disk.path).keys() - before.keys() - {"filling"}
    assert [path for path in left if "fault-1" in path] == []


@pytest.mark.parametrize("layout", ["kata_store"])
def test_a_full_disk_below_one_tree_of_two(disk: Disk, tmp_path: Path) -> None:
    """The configuration is on another file system than the state: neither is made without the other."""
    options = {"host_root": "/", "config_root": str(disk.path / "vc"), "run_root": str(tmp_path / "run")}
    assert disk.run("present", **wish(disk.layout), **options).changed
    assert disk.remove(**options).changed
    disk.fill()
    before = [snapshot.take(path) for path in (tmp_path, disk.path)]
    refused = disk.run("present", **wish(disk.layout), **options)
    assert refused.failed and not refused.changed, refused.text
    after = [snapshot.take(path) for path in (tmp_path, disk.path)]
    assert [snapshot.differences(*pair) for pair in zip(after, before)] == [[], []]


@pytest.mark.parametrize("layout", ["containerd_v2", "containerd_v1"])
@pytest.mark.parametrize("full", ["state_root", "work_root"])
def test_one_of_containerds_two_directories_is_full(disk: Disk, full: str, tmp_path: Path) -> None:
    """A bundle and its work directory come together or not at all, and both can be removed."""
    options = {"host_root": "/", "state_root": str(tmp_path / "state"), "work_root": str(tmp_path / "work")}
    options[full] = str(disk.path / "full")
    assert disk.run("present", **wish(disk.layout), **options).changed
    assert disk.run("present", **{**wish(disk.layout), "container_id": "fault-2"}, **options).changed
    assert disk.remove(**options).changed
    disk.fill()
    before = [snapshot.take(path) for path in (tmp_path, disk.path)]
    refused = disk.run("present", **wish(disk.layout), **options)
    if refused.failed:  # an empty directory needs no room on a tmpfs
        assert not refused.changed and "No space left on device" in refused.message, refused.text
        after = [snapshot.take(path) for path in (tmp_path, disk.path)]
        assert [snapshot.differences(*pair) for pair in zip(after, before)] == [[], []]
    else:
        assert full == "work_root"
    assert disk.remove(**options, container_id="fault-2").changed
    left = [path for tree in (tmp_path, disk.path) for path in snapshot.take(tree) if "fault-2" in path]
    assert left == []
