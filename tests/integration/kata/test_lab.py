# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: what it makes is what Kata's own code wrote, and its hosts are worlds of their own."""

from __future__ import annotations

import os
import signal
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import fetched
from ansible_collections.sandboxed.containers.tests.lab import (
    kata,
    kata_cgroups,
    mounting,
    own_host,
    processes,
    real_programs,
)
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.kata_programs import OWNERS, STRANGERS, for_real_qemu
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

pytestmark = pytest.mark.real
SAMPLES = Path(kata.__file__).parent / "samples"
POD = "5e8491393fab78ba5b249d34442b422520eaffbcd8994d47a0139698680ca4eb"
MEMBER = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"


def of_sample(name: str) -> dict[str, tuple[int, bytes]]:
    """Name to mode and content of a sample's files and directories."""
    found = {}
    with tarfile.open(SAMPLES / f"{name}.tgz") as archive:
        for member in archive:
            handle = archive.extractfile(member) if member.isreg() else None
            found[member.name] = (member.mode, handle.read() if handle else b"")
    return found


def of_tree(root: Path) -> dict[str, tuple[int, bytes]]:
    paths = sorted(root.rglob("*"))
    return {
        str(path.relative_to(root)): (path.lstat().st_mode & 0o7777, path.read_bytes() if path.is_file() else b"")
        for path in paths
    }


def test_a_store_is_the_sample_byte_for_byte(tmp_path: Path) -> None:
    facts = Facts(proxy_pid=4242, container_pid=4711)
    kata.sandbox("kata_store", POD, [MEMBER], facts, kata.Places(tmp_path, told="")).write()
    assert of_tree(tmp_path) == of_sample("kata-store-1.8.0")


def test_a_persist_tree_is_the_sample_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "run/vc").mkdir(parents=True)
    facts = Facts(vmm_pid=4711, virtiofsd_pid=4712, container_pid=4711)
    kata.sandbox("kata_persist", POD, [POD, MEMBER], facts, kata.Places(tmp_path, told="")).write()
    assert of_tree(tmp_path) == of_sample("kata-persist-3.2.0")


def test_a_host_is_a_world_of_its_own(crowd: Crowd) -> None:
    assert os.listdir("/run") and not Path("/run/vc").exists()
    assert os.listdir("/var/lib") == []
    assert Path("/run").stat().st_dev != Path("/var/lib").stat().st_dev
    assert Path("/proc/1/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    stranger = crowd.start(Program("/bin/stranger"), pid=4711)
    assert stranger.pid == 4711
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    assert sorted(pids) == [1, os.getpid(), 4711]


def test_a_stand_in_is_what_its_program_would_be(crowd: Crowd) -> None:
    jail = Path("/run/jail")
    jail.mkdir()
    folder = Path("/run/folder")
    folder.mkdir()
    one = crowd.start(
        Program(
            "/usr/bin/qemu-system-x86_64",
            ["-name", "sandbox-lab-web-1", ""],
            cwd=folder,
            pid_file=folder / "pid",
            listens=[folder / "qmp.sock"],
            opens=[folder],
            locks=[folder / "lock"],
            stubborn=True,
        )
    )
    assert processes.argv(one.pid) == ["/usr/bin/qemu-system-x86_64", "-name", "sandbox-lab-web-1", ""]
    assert os.readlink(f"/proc/{one.pid}/exe").endswith("/usr/bin/qemu-system-x86_64")
    assert os.readlink(f"/proc/{one.pid}/cwd") == str(folder)
    assert (folder / "pid").read_text() == f"{one.pid}\n"
    assert processes.holds_lock((folder / "lock").stat()) == [one.pid]
    assert one.pid in processes.opened(folder)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "qmp.sock"))
    one.send(signal.SIGTERM)
    assert one.lives()
    one.kill()
    assert not one.lives() and (folder / "qmp.sock").is_socket()

    jailed = crowd.start(Program("/firecracker", ["--id", "x"], argv0="firecracker", root=jail))
    assert os.readlink(f"/proc/{jailed.pid}/root") == str(jail)


@pytest.mark.parametrize(("layout", "kind"), [(layout, kind) for layout, kinds in OWNERS.items() for kind in kinds])
def test_each_owner_can_be_started(crowd: Crowd, layout: str, kind: str) -> None:
    program = kata.sandbox(layout).program(kind)
    one = crowd.start(program)
    assert processes.argv(one.pid) == program.argv
    assert all(path.is_socket() for path in program.sockets)


@pytest.mark.parametrize("kind", list(STRANGERS))
def test_each_stranger_can_be_started(crowd: Crowd, layout: str, kind: str) -> None:
    assert crowd.start(kata.sandbox(layout).program(kind)).lives()


def test_a_share_has_real_mounts_and_data_behind_them(host: None, layout: str) -> None:
    box = kata.sandbox(layout, "lab-web-1", ["lab-web-1", "lab-app-1"])
    box.write()
    shared = box.make_share()
    assert len(shared.mounts) == 6 and len(shared.data) == 6
    assert set(map(str, shared.mounts)) <= set(mounting.below(box.share_dir))
    before = shared.checksum()
    assert shared.checksum() == before
    (shared.mounts[1] / "file").unlink()
    assert shared.checksum() != before
    exported = {"kata_store": "", "kata_persist": "shared/", "kata_rs": "ro/passthrough/"}[layout]
    assert (box.share_dir / exported / "lab-app-1/rootfs/written").read_text() == "by the container"


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_a_factory_makes_links(host: None, layout: str) -> None:
    box = kata.sandbox(layout, facts=Facts(vm_id="vm-1"))
    box.make_vm()
    box.make_share()
    kata.template()
    assert os.readlink(box.vm_dir) == "/run/vc/vm/vm-1" and (box.vm_dir / "qmp.sock").is_socket()
    link = box.share_dir if layout == "kata_store" else box.share_dir / "mounts"
    assert os.readlink(link) == "/run/vc/vm/vm-1/shared"


def test_a_reboot_ends_everything_below_run(crowd: Crowd, layout: str) -> None:
    box = kata.sandbox(layout)
    box.write()
    shared = box.make_share()
    before = shared.checksum()
    qemu = crowd.start(box.program("qemu"))
    own_host.reboot()
    assert not qemu.lives() and not Path("/run/vc").exists() and not Path("/run/kata").exists()
    assert mounting.below(Path("/run")) == ["/run"]
    assert shared.checksum() == before
    assert Path("/var/lib/vc").exists() == (layout == "kata_store")


def test_a_process_can_be_in_a_cgroup_of_its_own(crowd: Crowd) -> None:
    if why := kata_cgroups.available():
        pytest.skip(why)
    made = kata_cgroups.overhead("lab-web-1")
    one = crowd.start(Program("/usr/bin/virtiofsd", cgroups=made))
    assert "/kata_overhead/lab-web-1" in Path(f"/proc/{one.pid}/cgroup").read_text()


@pytest.mark.parametrize(
    ("layout", "kind", "real"),
    [
        ("kata_persist", "old virtiofsd", real_programs.old_virtiofsd),
        ("kata_persist", "virtiofsd", real_programs.virtiofsd),
        ("kata_rs", "virtiofsd", real_programs.virtiofsd),
    ],
    ids=["C with a descriptor", "Rust with a descriptor", "Rust with a socket path"],
)
def test_a_real_virtiofsd_is_started_as_kata_does(
    crowd: Crowd, layout: str, kind: str, real: Callable[[], real_programs.Real]
) -> None:
    box = kata.sandbox(layout)
    box.make_share()
    one = crowd.start_real(*real_programs.as_real(box.program(kind), fetched(real)))
    assert processes.argv(one.pid) == box.program(kind).argv
    assert os.readlink(f"/proc/{one.pid}/exe").endswith("/virtiofsd")
    socket_path = box.program(kind).sockets[0]
    processes.wait_until(socket_path.is_socket, "the socket")
    if layout == "kata_rs":
        lock = Path(f"{socket_path}.pid")
        processes.wait_until(lambda: processes.holds_lock(lock.stat()) == [one.pid], "the lock")
        assert lock.read_text() == f"{one.pid}\n"
    assert one.lives()


@pytest.mark.long
@pytest.mark.parametrize("layout", ["kata_store", "kata_persist", "kata_rs"])
def test_a_real_qemu_is_started_as_kata_does(crowd: Crowd, layout: str) -> None:
    box = kata.sandbox(layout)
    program = box.program("qemu")
    one = crowd.start_real(*real_programs.as_real(for_real_qemu(program), fetched(real_programs.qemu)))
    for path in program.sockets:
        processes.wait_until(path.is_socket, f"{path}")
    assert f"sandbox-{box.id}" in ",".join(processes.argv(one.pid)).replace("=", ",").split(",")
    if program.pid_file:
        processes.wait_until(program.pid_file.exists, "the pid file")
        assert int(program.pid_file.read_text()) == one.pid
    assert one.lives()
