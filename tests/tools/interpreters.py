# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the Python interpreters of this machine: on PATH and among pyenv's versions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def folders() -> list[Path]:
    """Where interpreters may lie, in the order of preference, without virtual environments.

    pyenv's shims are left out for what they stand for: one of a version that is not the default exits 127.
    """
    listed = [Path(one) for one in os.environ.get("PATH", os.defpath).split(os.pathsep) if one]
    on_path = [one for one in listed if not (one.parent / "pyvenv.cfg").exists()]
    shims = [one for one in on_path if one.name == "shims"]
    roots = [Path(os.environ["PYENV_ROOT"])] if os.environ.get("PYENV_ROOT") else []
    roots += [Path.home() / ".pyenv", *(one.parent for one in shims)]
    versions = [found for root in roots for found in sorted(root.glob("versions/*/bin"))]
    return list(dict.fromkeys([one for one in on_path if one not in shims] + versions))


def candidates(version: str, where: list[Path] | None = None) -> list[Path]:
    """The files that are named as an interpreter of this version (``3.9``); they may not run."""
    paths = [folder / f"python{version}" for folder in (folders() if where is None else where)]
    return [path for path in paths if os.access(path, os.X_OK) and path.is_file()]


def runs(path: Path, version: str) -> bool:
    """Whether the file really is an interpreter of that version and can make virtual environments."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([str(path), "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def find(version: str) -> Path | None:
    """The first interpreter of this version that works."""
    return next((path for path in candidates(version) if runs(path, version)), None)
