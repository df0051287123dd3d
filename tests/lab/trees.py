# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files, directories and dead sockets as runtimes leave them."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path


def put_data(folder: Path) -> None:
    """Something that somebody would miss: files, a directory, a link, a hidden file."""
    (folder / "inner" / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text(f"precious, in {folder}", encoding="utf-8")
    (folder / ".hidden").write_text("precious", encoding="utf-8")
    (folder / "inner/deep/file").write_text("precious", encoding="utf-8")
    with suppress(FileExistsError):
        (folder / "link").symlink_to("inner/deep/file")


def leave_socket(path: Path) -> None:
    """A socket that nobody listens on."""
    if path.exists():
        return
    directory(path.parent, 0o750)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(path))


def remove(path: Path) -> None:
    """A file, a link or a tree."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def listing(*roots: Path) -> list[str]:
    """Every name below the roots, with mode and size, for comparison. What is not there gives nothing."""
    rows = []
    for root in roots:
        for folder, folders, files in os.walk(root):
            for name in sorted(folders + files):
                facts = os.lstat(os.path.join(folder, name))
                rows.append(f"{os.path.join(folder, name)} {facts.st_mode:o} {facts.st_size}")
    return sorted(rows)


def directory(path: Path, mode: int) -> None:
    """As Go's MkdirAll: what is missing gets the mode, what is there stays as it is."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        one.chmod(mode)


def file(path: Path, content: bytes, mode: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)
