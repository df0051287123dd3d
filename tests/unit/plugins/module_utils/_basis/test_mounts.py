# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import mounts, paths
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import Mount, MountTable
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


def line(number: int, parent: int, point: str, device: str = "0:1", root: str = "/", extra: str = "") -> str:
    return f"{number} {parent} {device} {root} {point} rw {extra + ' ' if extra else ''}- tmpfs none rw\n"


def table(*rows: str) -> MountTable:
    return MountTable(mounts.parse_mountinfo("".join(rows)))


def points(found: list[Mount]) -> list[str]:
    return [mount.point for mount in found]


def id_of(mount: Mount | None) -> int:
    """The id of a mount that must have been found."""
    assert mount is not None
    return mount.mount_id


def test_parse_all_fields() -> None:
    text = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:12 master:3 - ext3 /dev/root rw,errors=continue\n"
    assert mounts.parse_mountinfo(text) == [
        Mount(36, 35, (98, 0), "/mnt1", "/mnt2", "ext3", "/dev/root", "shared:12 master:3", False, "rw,errors=continue")
    ]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (r"/a\040b", "/a b"),
        (r"/a\011b", "/a\tb"),
        (r"/a\012b", "/a\nb"),
        (r"/a\134b", "/a\\b"),
        (r"/a\134040b", r"/a\040b"),
        ("/a\u2028b\x0b\x85", "/a\u2028b\x0b\x85"),
        ("/-", "/-"),
    ],
)
def test_parse_escapes(raw: str, name: str) -> None:
    assert [mount.point for mount in mounts.parse_mountinfo(line(1, 0, raw))] == [name]


def test_parse_a_removed_root() -> None:
    mount = mounts.parse_mountinfo(line(1, 0, "/a", root="/x//deleted"))[0]
    assert (mount.root, mount.deleted) == ("/x", True)


@pytest.mark.parametrize("text", ["1 2 3\n", "1 2 0:1 / / rw - tmpfs\n", "x 2 0:1 / / rw - tmpfs none rw\n"])
def test_parse_refuses_what_is_no_mountinfo(text: str) -> None:
    with pytest.raises(ValueError):
        mounts.parse_mountinfo(text)


def test_unreadable_is_not_absent(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        MountTable.read(1, str(tmp_path))


def test_R4_at_or_below_compares_components() -> None:
    found = table(
        line(1, 0, "/"),
        line(2, 1, "/a/b"),
        line(3, 1, "/a/bc"),
        line(4, 2, "/a/b/c"),
        line(5, 1, "/a/b-"),
        line(6, 1, "/a/b0"),
    )
    assert points(found.at_or_below("/a/b")) == ["/a/b", "/a/b/c"]
    assert points(found.at_or_below("/a/b/c")) == ["/a/b/c"]
    assert found.at_or_below("/a/b/d") == []
    assert len(found.at_or_below("/")) == 6
    assert points(found.at_or_below("/a")) == ["/a/b-", "/a/b", "/a/b/c", "/a/b0", "/a/bc"]


@pytest.mark.parametrize("path", ["a", "/a/", "/a/../b", "//a", "/a/./b", ""])
def test_R4_a_path_that_is_not_normalised_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="normalised"):
        table(line(1, 0, "/")).at_or_below(path)


class Counting(list):  # type: ignore[type-arg]
    looked = 0

    def __getitem__(self, index: Any) -> Any:
        self.looked += 1
        return super().__getitem__(index)


def test_lookups_stay_cheap_with_20000_mounts() -> None:
    looked = {}
    for count in (200, 20_000):
        found = table(line(1, 0, "/"), *[line(number, 1, f"/run/{number:06}/rootfs") for number in range(2, count)])
        assert len(found.at_or_below("/")) == count - 1
        found._keys = Counting(found._keys)
        assert points(found.at_or_below("/run/000100")) == ["/run/000100/rootfs"]
        looked[count] = found._keys.looked
    assert looked[20_000] <= looked[200] + 20


def test_holding_sees_only_what_is_not_mounted_over() -> None:
    found = table(
        line(1, 0, "/"),
        line(2, 1, "/a"),
        line(3, 2, "/a/b"),  # hidden by 4, which was mounted on 2
        line(4, 2, "/a"),
        line(5, 4, "/a/c"),
    )
    assert id_of(found.holding("/x")) == 1
    assert id_of(found.holding("/a")) == 4
    assert id_of(found.holding("/a/b")) == 4
    assert id_of(found.holding("/a/c/d")) == 5
    assert id_of(found.holding_name("/a")) == 1
    assert id_of(found.holding_name("/a/c")) == 4
    assert id_of(found.holding("/")) == id_of(found.holding_name("/")) == 1


def test_D3_location_is_inside_the_parents_file_system() -> None:
    found = table(line(1, 0, "/", "8:1"), line(2, 1, "/srv", "8:2", "/sub"), line(3, 2, "/srv/x"), line(4, 1, "/y"))
    by_id = found.by_id
    assert found.location(by_id[1]) is None
    assert found.location(by_id[3]) == ((8, 2), "/sub/x")
    assert found.location(by_id[4]) == ((8, 1), "/y")


def test_D3_below_a_removed_directory_there_is_no_location() -> None:
    found = table(line(1, 0, "/", "8:1"), line(2, 1, "/srv", "8:1", "/gone//deleted"), line(3, 2, "/srv/x"))
    assert found.location(found.by_id[3]) is None


def test_describe_names_the_source_of_a_bind() -> None:
    found = table(line(1, 0, "/", "8:1"), line(2, 1, "/run/x", "8:1", "/var/lib/data"), line(3, 1, "/run/y"))
    assert found.describe(found.by_id[2]) == "bind of /var/lib/data on /run/x"
    assert found.describe(found.by_id[3]) == "tmpfs on /run/y"


@support.needs_root
@pytest.mark.parametrize(
    "name", ["plain", "with space", "tab\t", "new\nline", "back\\slash", "h#sh", os.fsdecode(b"\xff\xfe"), "ü"]
)
def test_R4_real_names_are_found(tmp_path: Path, name: str) -> None:
    def work() -> None:
        point = f"{tmp_path}/{name}"
        support.make(point)
        support.tmpfs(point)
        found = MountTable.read().at_or_below(point)
        assert [(mount.point, mount.fs_type) for mount in found] == [(point, "tmpfs")]

    support.in_private_namespace(work)


@support.needs_root
def test_a_removed_bind_source_is_marked(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a", f"{tmp_path}/b")
        support.bind(f"{tmp_path}/a", f"{tmp_path}/b")
        os.rmdir(f"{tmp_path}/a")
        mount = MountTable.read().at_or_below(f"{tmp_path}/b")[0]
        assert mount.deleted
        assert mount.root.endswith("/a")

    support.in_private_namespace(work)


@support.needs_root
def test_mount_id_of_tells_bind_mounts_apart(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a", f"{tmp_path}/b")
        support.bind(f"{tmp_path}/a", f"{tmp_path}/b")
        ids = [paths.mount_id_of(os.open(f"{tmp_path}/{name}", os.O_PATH)) for name in ("a", "b")]
        found = MountTable.read()
        assert ids == [id_of(found.holding(f"{tmp_path}/a")), id_of(found.holding(f"{tmp_path}/b"))]
        assert ids[0] != ids[1]

    support.in_private_namespace(work)
