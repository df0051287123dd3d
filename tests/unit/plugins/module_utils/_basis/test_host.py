# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import OutsideRoot, Unreadable

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SIGHT = "from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host\nprint(host.sight())\n"


def sight_below(*prefix: str, before: str = "", code: str = SIGHT) -> str:
    """What sight() says in a process started below prefix, after a shell command in its namespaces."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    shell = f'{before or ":"} && exec "$0" "$@"'
    command = [*prefix, "sh", "-c", shell, sys.executable, "-c", code]
    return subprocess.run(command, check=True, env=environment, timeout=60, stdout=subprocess.PIPE, text=True).stdout


@NEEDS_ROOT
def test_A2_root_in_the_initial_namespace_sees_all() -> None:
    if os.readlink("/proc/self/ns/pid") != host.INITIAL_PID_NAMESPACE:
        pytest.skip("needs the initial pid namespace")
    assert host.sight() == host.Sight(True, "")


@NEEDS_ROOT
def test_A2_another_pid_namespace_hides_processes() -> None:
    assert "initial pid namespace" in sight_below("unshare", "-p", "-f", "--mount-proc")
    # Here /proc still shows the outer processes, yet we are not among them.
    assert "all=False" in sight_below("unshare", "-p", "-f")


@NEEDS_ROOT
@pytest.mark.parametrize(
    ("option", "all_seen"),
    [
        ("0", True),
        ("off", True),
        ("1", False),
        ("2", False),
        ("4", False),
        ("noaccess", False),
        ("invisible", False),
        ("ptraceable", False),
    ],
)
def test_A2_hidepid(option: str, all_seen: bool) -> None:
    answer = sight_below("unshare", "-m", before=f"mount -t proc -o hidepid={option} proc /proc")
    assert f"all={all_seen}" in answer
    assert all_seen or "hidepid=" in answer


@NEEDS_ROOT
def test_A2_what_lies_over_proc_counts() -> None:
    assert "type proc" in host._mount_doubt("/tmp")
    hidden_below = "mount -t proc -o hidepid=2 proc /proc && mount -t proc -o hidepid=0 proc /proc"
    assert "all=True" in sight_below("unshare", "-m", before=hidden_below)


@NEEDS_ROOT
def test_A2_a_user_does_not_see_all() -> None:
    code = SIGHT.replace("print", "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\nprint")
    answer = sight_below(code=code)
    assert "all=False" in answer and "without root" in answer


@NEEDS_ROOT
def test_A2_root_of_another_user_namespace_does_not_see_all() -> None:
    answer = sight_below("unshare", "-U", "-r")
    assert "all=False" in answer and "without root" in answer


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
