# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File systems that are really full: the old state stays, and nothing half is left (promise 2)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.faults import snapshot
from ansible_collections.sandboxed.containers.tests.faults.gvisor import document
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.forked import forked

pytestmark = pytest.mark.real
_SIZE = 2 << 20


def _command(*words: str) -> str:
    return subprocess.run(words, check=True, timeout=60, capture_output=True, text=True).stdout


@pytest.fixture(params=["ext4", "tmpfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system, unmounted at the end."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "ext4":
        image = tmp_path / "image"
        image.write_bytes(b"")
        os.truncate(image, _SIZE)
        _command("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image))
        _command("mount", "-o", "loop", str(image), str(folder))
    else:
        _command("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _command("umount", str(folder))


def fill(folder: Path) -> None:
    """Write until nothing more fits; the inodes are not used up."""
    with open(folder / "filling", "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def about(folder: Path) -> dict[str, Any]:
    """The options that say which sandbox is meant."""
    return {"layout": "gvisor", "run_root": str(folder / "run"), "sandbox_id": "fault-1"}


def present(folder: Path, wanted: dict[str, Any]) -> Result:
    return forked("sandbox_state", **about(folder), documents={"state": wanted})


def test_an_update_leaves_the_old_state(disk: Path) -> None:
    assert present(disk, document(disk, "fault-1")).changed
    fill(disk)
    before = snapshot.take(disk)
    wanted = {**document(disk, "fault-1"), "owner": "y" * 20_000}
    refused = present(disk, wanted)
    assert refused.failed
    assert not refused.changed
    assert "No space left on device" in refused.message
    assert snapshot.take(disk) == before

    (disk / "filling").unlink()
    assert present(disk, wanted).changed
    assert not present(disk, wanted).changed


def test_a_create_leaves_nothing(disk: Path) -> None:
    (disk / "run").mkdir(mode=0o711)
    fill(disk)
    before = snapshot.take(disk)
    refused = present(disk, document(disk, "fault-1"))
    assert refused.failed
    assert not refused.changed
    assert "No space left on device" in refused.message
    assert snapshot.take(disk) == before

    (disk / "filling").unlink()
    assert present(disk, document(disk, "fault-1")).changed


def test_a_full_disk_can_be_cleaned(disk: Path) -> None:
    assert present(disk, document(disk, "fault-1")).changed
    fill(disk)
    removed = forked("sandbox_state", **about(disk), state="absent")
    assert removed.changed
    assert not removed.failed, removed.message
    assert list((disk / "run").iterdir()) == []
