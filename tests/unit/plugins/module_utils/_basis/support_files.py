# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A directory on a tmpfs and on a disk, and what may lie in the place of a file in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given

OLD = b"old content"


def memory_or_disk() -> list[str]:
    return [place for place in ("/dev/shm", "/var/tmp") if os.access(place, os.W_OK)]


@pytest.fixture(params=memory_or_disk())
def directory(request: pytest.FixtureRequest) -> Iterator[Directory]:
    """An empty directory on a tmpfs and on a disk."""
    with tempfile.TemporaryDirectory(dir=request.param) as path, open_given(path) as opened:
        yield opened


def make_link(path: Path) -> None:
    (path.parent / "target").write_bytes(OLD)
    path.symlink_to("target")
