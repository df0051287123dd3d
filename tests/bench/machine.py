# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the bench runs on: figures without the machine and the versions say nothing. No host name, no path."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_GIB = 1024**3
BUSY = 0.3  # load at which other programs are felt in the figures


def describe(folder: Path) -> dict[str, str]:
    """Machine and versions by name. folder: where the trees are made. Raises OSError where /proc is not readable."""
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "file system": file_system(folder),
        "Python": platform.python_version(),
        "ansible-core": version("ansible-core"),
        "rm": _first_line(["rm", "--version"]).removeprefix("rm "),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on: "tmpfs"."""
    mount_id = ""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for line in Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii").splitlines():
            if line.startswith("mnt_id:"):
                mount_id = line.split()[1]
    finally:
        os.close(handle)
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.split()[0] == mount_id:
            return line.partition(" - ")[2].split()[0]
    return "unknown"


def _first_line(words: list[str]) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    return done.stdout.partition("\n")[0]
