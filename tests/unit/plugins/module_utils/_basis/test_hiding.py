# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hidden names under which trees are removed (safety.md D1, D2)."""

# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls, tombstones, trees
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    Mounted,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_folders import (
    folder,
    populate,
)

__all__ = ["folder"]


@pytest.mark.parametrize("prefix", [tombstones.TOMBSTONE_PREFIX, "."])
def test_D2_tombstones_are_recognised(prefix: str) -> None:
    name = tombstones.tombstone_name("web.1-a", prefix)
    assert tombstones.parse_tombstone(name, prefix) == "web.1-a"
    assert tombstones.tombstone_name("web.1-a", prefix) != name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".sbx-del.",
        ".sbx-del.a",
        ".sbx-del.a.0123456789abcde",
        ".sbx-del.a.0123456789ABCDEF",
        ".sbx-del..0123456789abcdef",
        "sbx-del.a.0123456789abcdef",
        "x.sbx-del.a.0123456789abcdef",
        ".sbx-del.a.0123456789abcdef\n",
        ".a.0123456789abcdef",
    ],
)
def test_D2_other_hidden_names_are_no_tombstones(name: str) -> None:
    assert tombstones.parse_tombstone(name) is None


def test_D1_hide_renames_once_and_never_replaces(folder: str) -> None:
    populate(f"{folder}/tree")
    fd = os.open(folder, os.O_RDONLY)
    try:
        name = tombstones.tombstone_name("tree")
        assert trees.hide(fd, "tree", name, folder) is True
        assert os.listdir(folder) == [name]
        assert trees.hide(fd, "tree", name, folder) is False
        support.make(f"{folder}/tree")
        with pytest.raises(AlreadyExists):
            trees.hide(fd, "tree", name, folder)
        os.rmdir(f"{folder}/tree")
        assert trees.hide(fd, name, "tree", folder) is True  # safety.md C2: back
        trees.sync_dir(fd, folder)
    finally:
        os.close(fd)


def test_D1_hide_into_another_directory(tmp_path: Path) -> None:
    support.make(f"{tmp_path}/sbs/a")
    listed, parent = os.open(tmp_path / "sbs", os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    assert trees.hide(listed, "a", ".sbx-del.a.0123456789abcdef", str(tmp_path / "sbs"), parent)
    assert os.listdir(tmp_path / "sbs") == []
    os.close(listed)
    os.close(parent)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS])
def test_D1_hide_where_the_file_system_cannot_refuse_to_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(syscalls, "rename_noreplace", refused)
    support.write(f"{tmp_path}/tree/file")
    support.write(f"{tmp_path}/taken/precious")
    (tmp_path / "plain").write_text("plain")
    fd = os.open(tmp_path, os.O_RDONLY)
    where = str(tmp_path)
    with pytest.raises(AlreadyExists):
        trees.hide(fd, "tree", "taken", where)
    with pytest.raises(WriteFailed):
        trees.hide(fd, "plain", "tombstone", where)
    assert trees.hide(fd, "absent", "tombstone", where) is False
    assert trees.hide(fd, "tree", "tombstone", where) is True
    assert sorted(os.listdir(tmp_path)) == ["plain", "taken", "tombstone"]
    assert (tmp_path / "tombstone" / "file").read_text() == "data"
    assert (tmp_path / "taken" / "precious").read_text() == "data"
    os.close(fd)


@support.needs_root
def test_D3_hide_of_a_mount_point_is_refused(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a")
        support.tmpfs(f"{tmp_path}/a")
        with pytest.raises(Mounted):
            trees.hide(os.open(tmp_path, os.O_RDONLY), "a", ".x", str(tmp_path))

    support.in_private_namespace(work)
