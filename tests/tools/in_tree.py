# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command in the copied tree, where the collection has its full name: ``python in_tree.py pytest tests/unit``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tree

HOME = tree.ROOT / ".cache" / "home"


def private_home() -> Path:
    """A home folder below the checkout, so that tools leave nothing in the user's; it shows the user's settings."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name in (".config", ".gitconfig", ".pip"):
        theirs = Path.home() / name
        if theirs.exists() and Path.home() != HOME and not (HOME / name).is_symlink():
            (HOME / name).symlink_to(theirs)
    return HOME


def environment() -> dict[str, str]:
    """The environment for everything that runs from the tree."""
    home = private_home()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        "ANSIBLE_COLLECTIONS_PATH": str(tree.TREE),
        "ANSIBLE_HOME": str(home / ".ansible"),
        "ANSIBLE_REMOTE_TMP": str(home / ".ansible" / "tmp"),  # a local connection looks up the real home otherwise
        "GIT_OPTIONAL_LOCKS": "0",  # looking at the checkout must not lock its index
        "HOME": str(home),
        "PATH": f"{tree.ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(tree.TREE),
        "PYTHONPYCACHEPREFIX": str(tree.ROOT / ".cache" / "bytecode"),  # many short processes import the same modules
        "PYTHONUNBUFFERED": "1",
    }


def main(command: list[str]) -> None:
    """Replace this process by the command."""
    copy, known = tree.sync(), environment()
    os.chdir(copy)
    os.execvpe(command[0], command, known)


if __name__ == "__main__":
    main(sys.argv[1:])
