# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import Seen, read_command_line
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_origin import (
    is_virtiofsd,
    product_of,
    sandbox_of,
)

SHARED = "/run/kata-containers/shared/sandboxes"


@pytest.mark.parametrize(
    ("paths", "sandbox_id"),
    [
        ([f"{SHARED}/web-1"], "web-1"),
        ([f"{SHARED}/web-1/shared"], "web-1"),
        ([f"{SHARED}/web-1/ro", "/run/kata/web-1/root/virtiofsd.sock"], "web-1"),
        (["", "/run/vc/vm/web-1/vhost-fs.sock"], "web-1"),
        (["", "/run/kata/web-1/root/virtiofsd.sock"], "web-1"),
        ([f"/run/user/1000/run{SHARED}/web-1/ro", "virtiofsd.sock"], "web-1"),
        ([f"/run/user/1000{SHARED[4:]}/web-1/ro", "virtiofsd.sock"], "web-1"),
        (["/srv/data", "/run/vc/vm/web-1/vhost-fs.sock"], "web-1"),
        ([], ""),
        (["", ""], ""),
        ([SHARED, f"{SHARED}/"], ""),
        ([f"/srv{SHARED}/web-1"], ""),
        (["/run/kata/web-1/virtiofsd.sock"], ""),
        (["/run/vc/vm/web-1"], ""),
        (["/srv/web-1", "/run/web-1.sock"], ""),
    ],
)
def test_the_sandbox_that_the_paths_name(paths: list[str], sandbox_id: str) -> None:
    assert sandbox_of(paths) == sandbox_id


@pytest.mark.parametrize(
    "line",
    [
        f"virtiofsd --fd=3 -o source={SHARED}/web-1/shared -o cache=auto --syslog -f",
        f"virtiofsd --syslog --cache=auto --shared-dir={SHARED}/web-1/shared --fd=3",
    ],
    ids=["C", "Rust"],
)
def test_V2_with_a_descriptor_only_the_directory_names_the_sandbox(line: str) -> None:
    seen = read_command_line(tuple(line.split()))
    assert seen.socket_path == "" and sandbox_of([seen.shared_dir, seen.socket_path]) == "web-1"


@pytest.mark.parametrize(
    ("shared_dir", "socket_path", "cgroups", "product"),
    [
        ("/srv", "/var/lib/libvirt/qemu/domain-1-vm/fs0-fs.sock", [], "libvirt"),
        ("/srv", "", ["/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator"], "libvirt"),
        ("/srv", "", ["/machine.slice"], "libvirt"),
        ("/var/run/kubevirt-private/config-map/x", "/var/run/kubevirt/virtiofs-containers/x.sock", [], "KubeVirt"),
        ("/srv", "/var/run/kubevirt/virtiofs-containers/x.sock", ["/kubepods/besteffort/pod1"], "KubeVirt"),
        ("/var/lib/incus/devices/vm/disk", "/run/incus/vm/virtio-fs.disk.sock", [], "Incus"),
        ("/srv", "", ["/incus.payload.vm"], "Incus"),
        ("/srv", "/var/snap/lxd/common/lxd/logs/vm/virtio-fs.sock", [], "LXD"),
        ("/srv", "/run/s.sock", ["/system.slice/virtiofsd@web.service"], "virtiofsd@web.service"),
        ("/srv", "", ["/user.slice/user@0.service/app.slice/share.service"], "share.service"),
        ("/srv", "", ["/", "/system.slice/share.service", "/"], "share.service"),
        ("/srv/libvirtual", "/run/unlibvirt.sock", ["/mymachine.slice"], ""),
        ("/srv", "/run/s.sock", ["/user.slice/user-0.slice/session-1.scope"], ""),
        ("", "", [], ""),
    ],
)
def test_other_products_are_told_by_their_paths_and_cgroups(
    shared_dir: str, socket_path: str, cgroups: list[str], product: str
) -> None:
    assert product_of(Seen("", shared_dir, socket_path), iter(cgroups)) == product


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("virtiofsd", True), ("virtiofsd-rs", True), ("qemu-virtiofsd", False), ("virtiofs", False), ("", False)],
)
def test_the_names_of_the_program(name: str, is_one: bool) -> None:
    assert is_virtiofsd(name) is is_one
