# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import OutsideRoot, Unreadable


def test_A2_a_prepared_tree_proves_nothing(tmp_path: Path) -> None:
    seen = host.sight(str(tmp_path))
    assert not seen.all and str(tmp_path) in seen.why_not


def test_F2_boot_id_is_a_uuid() -> None:
    assert len(host.boot_id()) == 36 and host.boot_id().count("-") == 4


def test_F1_uptime_and_boot_time_agree() -> None:
    assert abs(host.boot_time() + host.uptime() - time.time()) < 1
    with open("/proc/uptime", encoding="ascii") as file:
        assert abs(float(file.read().split()[0]) - host.uptime()) < 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [("0123456789abcdef0123456789ABCDEF\n", "0123456789abcdef0123456789abcdef"), ("uninitialized\n", None), ("", None)],
)
def test_F2_machine_id(tmp_path: Path, content: str, expected: str | None) -> None:
    assert host.machine_id(str(tmp_path)) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "machine-id").write_text(content)
    assert host.machine_id(str(tmp_path)) == expected


def test_F2_machine_id_by_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "var/lib/dbus").mkdir(parents=True)
    (root / "var/lib/dbus/machine-id").write_text("0" * 32)
    assert host.machine_id(str(root)) == "0" * 32
    (root / "etc/machine-id").symlink_to("../var/lib/dbus/machine-id")
    assert host.machine_id(str(root)) == "0" * 32
    (tmp_path / "outside").write_text("1" * 32)
    (root / "etc/machine-id").unlink()
    (root / "etc/machine-id").symlink_to(tmp_path / "outside")
    with pytest.raises(OutsideRoot, match="leads to"):
        host.machine_id(str(root))


def test_B6_machine_id_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "machine-id")
    assert host.machine_id(str(tmp_path)) is None
    os.unlink(tmp_path / "etc" / "machine-id")
    (tmp_path / "etc" / "machine-id").mkdir()
    with pytest.raises(Unreadable):
        host.machine_id(str(tmp_path))


def test_superblocks_have_the_kernel_device() -> None:
    descriptor = os.open("/proc", os.O_PATH)
    try:
        mount = host.superblock_of(descriptor)
    finally:
        os.close(descriptor)
    assert mount and mount.fstype == "proc" and mount.device == os.stat("/proc").st_dev
    assert mount in host.superblocks().values()


def test_A2_what_is_no_proc_shows_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for mount in (None, host.Superblock(1, "tmpfs", ("rw",)), host.Superblock(1, "fuse.lxcfs", ("rw",))):
        monkeypatch.setattr(host, "superblock_of", lambda _descriptor, mount=mount: mount)
        assert host._mount_doubt("/proc") == "/proc is not a mount of type proc"


def test_A2_every_form_of_hidepid_but_off_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubt(*options: str) -> str:
        monkeypatch.setattr(host, "superblock_of", lambda _descriptor: host.Superblock(1, "proc", options))
        return host._mount_doubt("/proc")

    for hiding in (
        "hidepid=1",
        "hidepid=2",
        "hidepid=4",
        "hidepid=noaccess",
        "hidepid=invisible",
        "hidepid=ptraceable",
    ):
        assert hiding in doubt("rw", hiding)
    assert doubt("rw") == doubt("rw", "hidepid=0") == doubt("rw", "hidepid=off") == ""
