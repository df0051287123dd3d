# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders on a disk and a tmpfs, with a kernel that has openat2 and one that has not."""

# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls, trees
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


@pytest.fixture(params=["disk", "tmpfs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(tmp_path)
        return
    base = f"/dev/shm/sbx-test-{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(base)
    yield base
    remove(base, "tree")
    remove(os.path.dirname(base), os.path.basename(base))


@pytest.fixture(params=["openat2", "older kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The second one answers as Linux before 5.6, so that the other way to see mounts is taken."""
    if request.param != "openat2":

        def missing(*_arguments: object) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(syscalls, "open_beneath", missing)
    monkeypatch.setattr(trees, "_openat2", [])  # so that it is asked again
    return str(request.param)


def remove(base: str, name: str) -> bool:
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return trees.remove_tree(fd, name, base)
    finally:
        os.close(fd)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def populate(top: str) -> None:
    for path in ("file", "a/b/c/file", "a/file", "a/empty/.hidden", "odd \udcff\n/x"):
        support.write(f"{top}/{path}")
    support.make(f"{top}/empty", f"{top}/e1/e2")
    os.mkfifo(f"{top}/fifo")
    os.chmod(f"{top}/a/b/c/file", 0o400)
    os.link(f"{top}/file", f"{top}/hardlink")
