# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cgroups as Kata makes them, on the machine's own hierarchies: v1, v2 or both (cgroups.md)."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.lab import processes

MOUNT = Path("/sys/fs/cgroup")
OVERHEAD = "kata_overhead"


def available() -> str:
    """Why no cgroup can be made here; empty when it can."""
    for root in hierarchies():
        if not os.access(root, os.W_OK):
            return f"{root} cannot be written; cgroups are another's here"
    return "" if hierarchies() else f"there is no cgroup hierarchy below {MOUNT}"


def hierarchies() -> list[Path]:
    """Two v1 hierarchies that have no conditions for a process to join, or the unified one."""
    found = [
        MOUNT / name for name in ("pids", "freezer", "systemd", "unified") if (MOUNT / name / "cgroup.procs").exists()
    ]
    return found or [MOUNT] * (MOUNT / "cgroup.procs").exists()


def overhead(sandbox_id: str) -> list[Path]:
    """`/kata_overhead/<sid>` in each of the hierarchies; made."""
    made = [root / OVERHEAD / sandbox_id for root in hierarchies()]
    for one in made:
        one.mkdir(parents=True, exist_ok=True)
    return made


def frozen(sandbox_id: str) -> Path:
    """A cgroup of v1's freezer that is frozen: who joins it stops at once. Made; sweep() thaws it."""
    made = MOUNT / "freezer" / OVERHEAD / sandbox_id
    made.mkdir(parents=True, exist_ok=True)
    return made


def freeze(folder: Path, wish: str = "FROZEN") -> None:
    """FROZEN or THAWED, and wait for it."""
    (folder / "freezer.state").write_text(wish, encoding="ascii")
    processes.wait_until(lambda: (folder / "freezer.state").read_text().strip() == wish, f"{folder} to be {wish}")


def existing() -> set[Path]:
    """What overhead() makes, and its parents."""
    found = {root / OVERHEAD for root in hierarchies() if (root / OVERHEAD).is_dir()}
    return found | {one for parent in found for one in parent.iterdir() if one.is_dir()}


def sweep(made: Collection[Path]) -> None:
    """Remove them, children first; their processes have been killed, and may take a moment to be gone."""
    for one in sorted(made, reverse=True):
        if (one / "freezer.state").exists():
            freeze(one, "THAWED")  # a frozen process does not even die
        processes.wait_until(lambda one=one: _removed(one), f"{one} to be empty")  # type: ignore[misc]


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
