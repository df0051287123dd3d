# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root directories on a file system that may be another host's, or may never answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable, parse_mountinfo
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots

KINDS = [("tmpfs", False), ("fuseblk", False), ("fuse.sshfs", True), ("virtiofs", True), ("nfs", True), ("nfs4", True)]


def mounted(fs_type: str, path: Path) -> MountTable:
    rows = f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / {path} rw - {fs_type} none rw\n"
    return MountTable(parse_mountinfo(rows))


@pytest.mark.parametrize(("fs_type", "another"), KINDS)
def test_A2_a_tree_on_a_network_file_system_may_be_another_hosts(tmp_path: Path, fs_type: str, another: bool) -> None:
    with open_given(str(tmp_path)) as directory:
        roots = Roots("/", {"run_root": directory})
        roots.share_mounts(mounted(fs_type, tmp_path))
        assert bool(roots.another_hosts()) is another


@pytest.mark.parametrize(("fs_type", "hangs"), KINDS)
def test_B6_a_file_system_that_may_not_answer_is_left_alone(tmp_path: Path, fs_type: str, hangs: bool) -> None:
    (tmp_path / "rootfs").mkdir()
    roots = Roots("/", {})
    roots.share_mounts(mounted(fs_type, tmp_path))
    if hangs:
        with pytest.raises(Unreadable, match="may not answer"):
            roots.open(f"{tmp_path}/rootfs")
    else:
        with roots.open(f"{tmp_path}/rootfs") as directory:
            assert directory.exists
