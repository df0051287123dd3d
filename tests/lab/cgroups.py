# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cgroup of one's own in every hierarchy, below the cgroup of this process, and none of it left afterwards."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.lab import processes

ROOT = Path("/sys/fs/cgroup")
_INHERITED = ("cpuset.cpus", "cpuset.mems")  # v1 does not, and takes no process without them


def hierarchies() -> dict[str, str]:
    """The mounted hierarchies by the name of their mount point, and this process's own cgroup in each."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        number, controllers, path = line.split(":", 2)
        name = "unified" if number == "0" else controllers.removeprefix("name=")
        if (ROOT / name / "cgroup.procs").exists():
            found[name] = path
    return found


def folders(name: str) -> list[Path]:
    """Where the cgroups of that name are, or would be made."""
    return [ROOT / hierarchy / own.lstrip("/") / name for hierarchy, own in hierarchies().items()]


def make(name: str) -> list[Path]:
    """Make a cgroup in each hierarchy, v2's where it is mounted beside v1's."""
    made = folders(name)
    for folder in made:
        folder.mkdir(exist_ok=True)
        for setting in _INHERITED:
            if (folder / setting).exists():
                (folder / setting).write_bytes((folder.parent / setting).read_bytes())
    return made


def pids(name: str) -> list[int]:
    """The processes in these cgroups and below, whatever has become of their arguments."""
    found: set[int] = set()
    for folder in folders(name):
        for path, _names, _files in os.walk(folder):
            with suppress(FileNotFoundError):
                found.update(map(int, Path(path, "cgroup.procs").read_text(encoding="ascii").split()))
    return sorted(found)


def remove(name: str) -> None:
    """Remove what make made and what was made below it; its processes have been ended."""
    for folder in folders(name):
        processes.wait_until(lambda folder=folder: _gone(folder), f"{folder} to be empty")  # type: ignore[misc]


def _gone(folder: Path) -> bool:
    """Try to remove a tree of cgroups; a process that is on its way out keeps its own for a moment."""
    for path, _names, _files in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)
    return not folder.exists()
