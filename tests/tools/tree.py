# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copy the checkout to where Ansible's tools want a collection: below ``ansible_collections/sandboxed/containers``.

A symlink would not do: the tools resolve it. The copy holds what git knows or would add, and a ``.git`` file that
points to the checkout's. Only what changed is copied; what vanished is removed; what tools wrote there stays.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / ".cache" / "tree"
COPY = TREE / "ansible_collections" / "sandboxed" / "containers"


def git(*words: str) -> str:
    """The output of a git command in the checkout."""
    return subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def known_files() -> list[str]:
    """What git tracks or would add, as far as it exists."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate").split("\0")
    return [name for name in listed if name and os.path.lexists(ROOT / name)]


def _is_same(source: Path, target: Path) -> bool:
    try:
        theirs = target.lstat()
    except FileNotFoundError:
        return False
    ours = source.lstat()
    return (ours.st_mtime_ns, ours.st_size, ours.st_mode) == (theirs.st_mtime_ns, theirs.st_size, theirs.st_mode)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file or a symlink with its mode and time; a reader sees the old or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.new")
    shutil.copy2(source, scratch, follow_symlinks=False)
    os.replace(scratch, target)


def sync() -> Path:
    """Bring the copy up to date and return its folder."""
    COPY.mkdir(parents=True, exist_ok=True)
    with open(TREE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = TREE / "manifest"
        before = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
        now = known_files()
        # The manifest names a file before it is there, so that a broken run leaves nothing unknown behind.
        manifest.write_text("\n".join(sorted({*before, *now})), encoding="utf-8")
        for name in set(before) - set(now):
            (COPY / name).unlink(missing_ok=True)
        for name in now:
            if not _is_same(ROOT / name, COPY / name):
                copy_file(ROOT / name, COPY / name)
        manifest.write_text("\n".join(sorted(now)), encoding="utf-8")
        pointer = f"gitdir: {git('rev-parse', '--absolute-git-dir').strip()}\n"
        if not (COPY / ".git").exists() or (COPY / ".git").read_text(encoding="utf-8") != pointer:
            (COPY / ".git").write_text(pointer, encoding="utf-8")
    return COPY


if __name__ == "__main__":
    sys.stdout.write(f"{sync()}\n")
