# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An archive in the layout of Kata's releases, of which a booted system can be given one or a damaged one.

Its programs are stand-ins: a busybox, which runs as what it is called, and for kata-runtime a script that says of an
unknown key what Kata 4.1 says.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package, tool

DEFAULTS = "share/defaults/kata-containers"
# By handler, from the configurations of Kata 4.1: the vendor's file, and the table of its hypervisor.
CONFIGURATIONS = {
    "kata-qemu": ("configuration-qemu.toml", "qemu"),
    "kata-clh": ("configuration-clh.toml", "clh"),
    "kata-fc": ("configuration-fc.toml", "firecracker"),
    "kata-qemu-runtime-rs": ("runtime-rs/configuration-qemu-runtime-rs.toml", "qemu"),
    "kata-clh-runtime-rs": ("runtime-rs/configuration-clh-runtime-rs.toml", "clh"),
    "kata-fc-runtime-rs": ("runtime-rs/configuration-rs-fc.toml", "firecracker"),
}
PROGRAMS = (
    "bin/containerd-shim-kata-v2", "runtime-rs/bin/containerd-shim-kata-v2", "bin/qemu-system-x86_64",
    "bin/cloud-hypervisor", "bin/firecracker", "bin/jailer", "libexec/virtiofsd",
)  # fmt: skip
KATA_RUNTIME = """#!/bin/sh
if grep -q no_such_key "${2%/*}"/config.d/*; then
  echo "error applying key '[hypervisor qemu no_such_key]' from drop-in file \\"x\\": no field found" >&2
else
  echo "file /opt/kata/bin/qemu-system-x86_64 does not exist" >&2
fi
exit 1
"""


def vendor_text(handler: str) -> str:
    """A configuration as the vendor writes it, with the keys that matter and one that the role never touches."""
    table = CONFIGURATIONS[handler][1]
    shared = "" if table == "firecracker" else 'shared_fs = "virtio-fs"\nvirtio_fs_cache = "auto"\n'
    name = f'hypervisor_name = "{table}"\nagent_name = "kata"\n' if "-rs" in handler else ""
    return (
        "# Copyright\n# XXX: WARNING: this file is auto-generated.\n\n"
        f'[hypervisor.{table}]\npath = "/opt/kata/bin/{table}"\nkernel = "/opt/kata/share/kata-containers/vmlinux"\n'
        f'kernel_params = ""\ndefault_vcpus = 1\ndefault_memory = 2048\n#enable_debug = true\n{shared}'
        f"enable_annotations = []\n\n[agent.kata]\n#enable_debug = true\ndial_timeout_ms = 10\n\n"
        f'[runtime]\n{name}internetworking_model = "tcfilter"\nsandbox_cgroup_only = false\n'
    )


def contents(number: str) -> dict[str, bytes]:
    """The files of a release, by their paths below opt/kata."""
    busybox = (package("busybox-static") / "bin/busybox").read_bytes()
    made = dict.fromkeys(PROGRAMS, busybox)
    made["bin/kata-runtime"] = KATA_RUNTIME.encode()
    made["VERSION"] = f"{number}\n".encode()
    for handler, (name, _table) in CONFIGURATIONS.items():
        made[f"{DEFAULTS}/{name}"] = vendor_text(handler).encode()
    return made


def archive(system: Booted, number: str = "4.1.0", *without: str, **more: bytes) -> dict[str, Any]:
    """The variables of a release, packed as it is published, but for some of its files and with more."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, data in {**contents(number), **more}.items():
            if path not in without:
                add(tar, f"./opt/kata/{path}", data)
        link = tarfile.TarInfo(f"./opt/kata/{DEFAULTS}/configuration.toml")
        link.type, link.linkname = tarfile.SYMTYPE, "configuration-qemu.toml"
        tar.addfile(link)
    return put(system, packed.getvalue(), f"kata-{number}-{len(without)}.tar.zst")


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o755 if "bin/" in name or "libexec/" in name else 0o644
    tar.addfile(entry, io.BytesIO(data))


def put(system: Booted, data: bytes, name: str) -> dict[str, Any]:
    """Compress an archive, and have the host know the program that it is unpacked with."""
    try:
        compress = tool("zstd", "zstd")
        program = package("zstd").resolve() / "usr/bin/zstd"
    except Unavailable as exc:
        pytest.skip(str(exc))
    if system.run("ls", "/usr/local/bin/zstd").code != 0:
        system.must("ln", "-s", str(program), "/usr/local/bin/zstd")
    compressed = subprocess.run([*compress, "-1", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    system.path(f"/srv/{name}").write_bytes(compressed)
    checksum = hashlib.sha256(compressed).hexdigest()
    return {"sandbox_kata_archive": f"file:///srv/{name}", "sandbox_kata_archive_checksum": f"sha256:{checksum}"}


def packed(system: Booted, name: str, **links: str) -> dict[str, Any]:
    """The variables of an archive of one file, with links before it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, target in links.items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        add(tar, name, b"no")
    return put(system, made.getvalue(), f"{name.replace('/', '-')}.tar.zst")
