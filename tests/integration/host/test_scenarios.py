# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scenarios of the safety rules, as far as they concern a prune of a whole host."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.host.conftest import Host
from ansible_collections.sandboxed.containers.tests.integration.host.test_prune import (
    MAPPINGS,
    PLACES,
    SOCKETS,
    Pod,
    pod,
    stale_socket,
)
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import gone
from ansible_collections.sandboxed.containers.tests.lab import kata, kata_cgroups, mounting, processes, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

pytestmark = pytest.mark.real
DEAD, LIVE = "lab-dead-1", "lab-live-1"
PRECIOUS = Path("/var/lib/precious")
ENGINES = ("/run/containerd", "/run/k3s/containerd", "/run/lab-engine")
TASKS = "io.containerd.runtime.v2.task/k8s.io"


def state() -> tuple[list[str], list[str]]:
    """All that a prune could change."""
    return trees.listing(*PLACES), mounting.table()


def is_whole(one: Pod, checksum: str) -> bool:
    """Whether a pod and its owners are as they were."""
    return (
        all(owner.lives() for owner in one.owners) and one.shared.checksum() == checksum and one.box.state_dir.exists()
    )


# -- who is alive ----------------------------------------------------------------------------------------------------


def listen_in_another_network_namespace(path: Path) -> int:
    """A process whose arguments tell nothing, as Kata starts QEMU in the pod's network namespace; its pid."""
    before = set(path.parent.iterdir()) if path.parent.exists() else set()
    trees.directory(path.parent, 0o750)
    code = "import socket, sys, time; s = socket.socket(1); s.bind(sys.stdin.read()); s.listen(); time.sleep(600)"
    receive, send = os.pipe()
    pid = os.posix_spawn(
        "/usr/bin/unshare", ["unshare", "--net", "python3", "-c", code], dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, receive, 0), (os.POSIX_SPAWN_CLOSE, send)],
    )  # fmt: skip
    os.close(receive)
    os.write(send, os.fsencode(path))
    os.close(send)
    processes.wait_until(lambda: set(path.parent.iterdir()) != before, f"{path} to be bound")
    processes.wait_until(
        lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"), "it to unshare"
    )
    return pid


@pytest.mark.parametrize("where", ["vm", "shim"])
def test_B2_a_listener_in_another_network_namespace(machine: Host, crowd: Crowd, where: str) -> None:
    other = pod(crowd, "kata_persist", "lab-dead-2", alive=False)
    box = kata.sandbox("kata_persist", DEAD)
    box.write()
    path = box.vm_dir / "vhost-fs.sock" if where == "vm" else SOCKETS / ("a" * 64)
    pid = listen_in_another_network_namespace(path)
    found = machine.verdicts()
    assert found["socket", "a" * 64] == "live" if where == "shim" else found["sandbox", DEAD] == "live"
    assert machine.prune().changed and gone(other.box) == []
    assert processes.lives(pid) and path.is_socket()
    assert box.state_dir.exists() is (where == "vm")


def test_A6_one_shim_for_three_containers(machine: Host, crowd: Crowd) -> None:
    """The containers have no process of their own with their ids."""
    box = kata.sandbox("kata_persist", LIVE, [LIVE, "lab-app-1", "lab-app-2"])
    box.write()
    box.make_bundles()
    pod_of = {"annotations": {"io.kubernetes.cri.sandbox-id": LIVE}}
    for name in box.containers:
        (box.bundle(name) / "config.json").write_text(str(pod_of).replace("'", '"'), encoding="utf-8")
        trees.directory(MAPPINGS / name / LIVE, 0o750)
    shim = crowd.start(box.program("shim"))
    pod(crowd, "kata_rs", DEAD, alive=False)
    found = machine.verdicts()
    for name in box.containers:
        assert found["bundle", name] == found["mapping", name] == "live"
    assert machine.prune().changed
    assert shim.lives() and all(box.bundle(name).exists() for name in box.containers)
    assert {path.name for path in MAPPINGS.iterdir()} == set(box.containers)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_A1_a_stopped_shim_and_a_frozen_cgroup_are_alive(machine: Host, crowd: Crowd, how: str) -> None:
    """Nobody answers, and nobody is dead. With stop_processes too, nothing of it is ended."""
    one = pod(crowd, "kata_persist", LIVE, alive=True)
    checksum = one.shared.checksum()
    for owner in one.owners[1:]:
        owner.kill()
    shim = one.owners[0]
    dead = pod(crowd, "kata_rs", DEAD, alive=False)
    frozen = kata_cgroups.frozen("lab-frozen") if how == "frozen" else None
    try:
        if frozen is None:
            shim.send(signal.SIGSTOP)
            processes.wait_until(lambda: processes.state(shim.pid) == "T", "it to stop")
        else:
            (frozen / "cgroup.procs").write_text(str(shim.pid), encoding="ascii")
            kata_cgroups.freeze(frozen)
        found = machine.verdicts()
        assert {found[kind, LIVE] for kind in ("sandbox", "bundle", "mapping")} == {"live"}
        assert machine.prune(stop_processes=True).changed and gone(dead.box) == []
        assert shim.lives() and one.shared.checksum() == checksum
        assert one.box.state_dir.exists() and one.box.vm_dir.exists() and one.box.bundle(LIVE).exists()
    finally:
        if frozen is not None:
            kata_cgroups.freeze(frozen, "THAWED")


def test_A9_an_executable_replaced_by_an_upgrade(machine: Host, crowd: Crowd) -> None:
    one = pod(crowd, "kata_persist", LIVE, alive=True)
    checksum = one.shared.checksum()
    for owner in one.owners:
        Path(os.readlink(f"/proc/{owner.pid}/exe")).unlink(missing_ok=True)
        assert "(deleted)" in os.readlink(f"/proc/{owner.pid}/exe")
    dead = pod(crowd, "kata_rs", DEAD, alive=False)
    assert machine.prune(stop_processes=True).changed and gone(dead.box) == []
    assert is_whole(one, checksum) and set(machine.verdicts().values()) == {"live"}


def test_A8_firecracker_has_the_beginning_of_an_id(machine: Host, crowd: Crowd) -> None:
    """Its arguments name 32 characters. While only its shim is left of the sandbox, that one has the whole id."""
    box = kata.sandbox("kata_persist", f"lab-{'f' * 60}", facts=Facts(hypervisor="firecracker"))
    box.write()
    trees.directory(box.firecracker_dir / "root/run", 0o750)
    machines = [crowd.start(box.program(kind)) for kind in ("firecracker", "shim")]
    assert set(machine.verdicts().values()) == {"live"}
    assert machine.prune(stop_processes=True).unchanged
    trees.remove(box.state_dir)
    trees.remove(box.firecracker_dir)
    assert "leftover" not in machine.verdicts().values()
    assert machine.prune(stop_processes=True).unchanged
    assert all(one.lives() for one in machines)


@pytest.mark.parametrize("with_template", [True, False])
def test_D5_the_machines_of_a_factory_are_not_ended(machine: Host, crowd: Crowd, with_template: bool) -> None:
    """One that waits, and one that a living sandbox has, to which only a link of the sandbox's name leads."""
    box = kata.sandbox("kata_persist", LIVE, facts=Facts(vm_id="lab-machine-1"))
    box.write()
    owners = [crowd.start(box.program(kind)) for kind in ("shim", "qemu", "virtiofsd")]
    box.make_vm()
    if with_template:
        kata.template()
        waiting = Path("/run/vc/vm/lab-waits-1")
        trees.directory(waiting, 0o750)
        words = ["-name", f"sandbox-{waiting.name}", "-qmp", f"unix:{waiting}/qmp.sock,server,nowait"]
        owners.append(crowd.start(Program("/usr/bin/qemu-system-x86_64", words)))
    assert "leftover" not in machine.verdicts().values()
    assert machine.prune(stop_processes=True).unchanged
    assert all(one.lives() for one in owners)


def test_A10_several_engines_share_the_sockets(machine: Host, crowd: Crowd) -> None:
    """One without a database, as before its first start; one whose root directory only its shim's tells, so that what
    it lists is not known; and one socket for two."""
    names = {}
    for number, engine in enumerate(ENGINES):
        names[engine] = (f"lab-live-{number}", f"lab-dead-{number}")
        for name in names[engine]:
            bundle = Path(engine, TASKS, name)
            trees.directory(bundle / "rootfs", 0o711)
            (bundle / "config.json").write_text("{}", encoding="utf-8")
            socket = stale_socket(name[4:].replace("-", "").ljust(64, "0"))
            (bundle / "address").write_text(f"unix://{socket}", encoding="utf-8")
    Path("/var/lib/rancher/k3s/agent/containerd").mkdir(parents=True)
    shims = []
    for engine, (alive, _dead) in names.items():
        words = ["-namespace", "k8s.io", "-address", f"{engine}/containerd.sock", "-id", alive]
        shims.append(crowd.start(Program("/usr/bin/containerd-shim-kata-v2", words, cwd=Path(engine, TASKS, alive))))
    found = machine.verdicts()
    for engine, (alive, dead) in names.items():
        assert found["bundle", alive] == "live"
        assert found["bundle", dead] == ("unknown" if engine == "/run/lab-engine" else "leftover"), engine
    assert [key for key in found if key[0] == "socket"] == [], "each is a bundle's"
    done = machine.prune()
    assert not done.failed and done.changed, done.answer
    left = {name for engine in ENGINES for name in os.listdir(Path(engine, TASKS))}
    assert left == {"lab-live-0", "lab-live-1", "lab-live-2", "lab-dead-2"}
    assert len(os.listdir(SOCKETS)) == 4 and all(shim.lives() for shim in shims)


# -- what is never a candidate ---------------------------------------------------------------------------------------


def test_D5_a_vm_template_with_no_vm_running(machine: Host, crowd: Crowd) -> None:
    """The factory's tmpfs and a machine of it that waits; peer pods, direct volumes, the cache's socket."""
    template = kata.template(vm_id="lab-waits-1")
    kept = [
        template,
        template.parent / "lab-waits-1",
        Path("/run/peerpod/lab-dead-1"),
        Path("/run/kata-containers/cache.sock"),
    ]
    kept += [
        Path("/run/kata-containers/shared", name, "lab-dead-1")
        for name in ("direct-volumes", "dans", "swap", "virtual-volumes")
    ]
    for path in kept[2:]:
        trees.leave_socket(path) if path.suffix == ".sock" else trees.put_data(path)
    before, table = trees.listing(*kept), mounting.table()
    dead = pod(crowd, "kata_persist", DEAD, alive=False)
    assert machine.prune().changed and gone(dead.box) == []
    assert trees.listing(*kept) == before and mounting.table() == table
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("name", [f".{LIVE}", f".{LIVE}.0123456789abcdef"], ids=["containerd's", "ours"])
def test_D2_a_tombstone_while_a_new_one_of_that_name_runs(machine: Host, crowd: Crowd, name: str) -> None:
    """Its address names the new one's socket."""
    one = pod(crowd, "kata_persist", LIVE, alive=True)
    checksum = one.shared.checksum()
    bundle = one.box.bundle(LIVE)
    socket = stale_socket("b" * 64)
    (bundle / "address").write_text(f"unix://{socket}", encoding="utf-8")
    tombstone = bundle.with_name(name)
    trees.directory(tombstone / "rootfs", 0o711)
    (tombstone / "address").write_text(f"unix://{socket}", encoding="utf-8")
    (tombstone / "init.pid").write_text(str(one.owners[0].pid), encoding="ascii")
    done = machine.prune(stop_processes=True)
    assert not done.failed, done.answer
    assert is_whole(one, checksum) and bundle.exists() and socket.is_socket()
    for owner in one.owners:
        owner.kill()
    assert machine.prune().changed
    assert not tombstone.exists() and not bundle.exists() and not socket.exists() and gone(one.box) == []


# -- mounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(GENERATIONS))
def test_D4_peers_under_shared_propagation_keep_mounts_and_data(machine: Host, crowd: Crowd, layout: str) -> None:
    """A volume of the kubelet's with a mount inside, bound into the shared tree, and its peer's table and checksum."""
    dead = pod(crowd, layout, DEAD, alive=False)
    volume = Path("/var/lib/kubelet/pods/p1/volumes/v1")
    mounting.tmpfs(volume)
    mounting.propagate(volume, "shared")
    for path in (volume, PRECIOUS):
        trees.put_data(path)
    mounting.bind(PRECIOUS, volume / "sub", "shared")
    inside = {"kata_store": "", "kata_persist": "mounts", "kata_rs": "rw/passthrough"}[layout]
    target = dead.box.share_dir / inside / f"{DEAD}-v1"
    mounting.make_target(volume, target)
    mounting.mount(str(volume), target, flags=mounting.MS_BIND | mounting.MS_REC)
    assert str(target / "sub") in mounting.below(dead.box.share_dir)
    data, peers = mounting.checksum(volume, PRECIOUS), mounting.below(Path("/var/lib/kubelet"))
    done = machine.prune()
    assert not done.failed and done.changed, done.answer
    assert gone(dead.box) == []
    assert mounting.below(Path("/var/lib/kubelet")) == peers and mounting.checksum(volume, PRECIOUS) == data


@pytest.mark.long
def test_7_twenty_thousand_leaked_mounts(machine: Host, crowd: Crowd) -> None:
    """runtime#2816: containers that fail to start leave 20,000 in two hours."""
    live = pod(crowd, "kata_persist", LIVE, alive=True)
    checksum, before = live.shared.checksum(), mounting.table()
    box = kata.sandbox("kata_persist", DEAD)
    box.write()
    trees.put_data(PRECIOUS)
    data = mounting.checksum(PRECIOUS)
    box.share_dir.mkdir(parents=True)
    mounting.tmpfs(box.share_dir)
    mounting.propagate(box.share_dir, "private")
    for number in range(20_000):
        target = box.share_dir / "mounts" / f"lab-app-{number}-data"
        mounting.make_target(PRECIOUS, target)
        mounting.mount(str(PRECIOUS), target, flags=mounting.MS_BIND)
    begun = time.monotonic()
    done = machine.prune()
    seconds = time.monotonic() - begun
    assert not done.failed and done.changed, done.message
    assert gone(box) == [] and mounting.table() == before and mounting.checksum(PRECIOUS) == data
    assert is_whole(live, checksum)
    assert seconds < 60, f"{seconds:.0f} s"


STRANGERS = {
    "of libvirt": Program("/usr/libexec/virtiofsd", ["--fd=31", "-o", "source=/srv"]),
    "of KubeVirt": Program("/usr/libexec/virtiofsd", ["--socket-path=/var/run/kubevirt/x.sock", "--shared-dir=/srv"]),
    "of Incus": Program("/opt/incus/bin/virtiofsd", ["--fd=3", "--shared-dir=/var/lib/incus/x"]),
    "of a snapshotter": Program("/usr/bin/nydusd", ["fuse", "--apisock", "/run/containerd-nydus/x/api.sock"]),
    "of a user": Program("/usr/bin/qemu-system-x86_64", ["-name", "web", "-qmp", "unix:/tmp/qmp.sock"]),
}


def test_E2_daemons_of_others_survive_a_prune_that_ends_processes(machine: Host, crowd: Crowd) -> None:
    vm = "/run/vc/vm/lab-stray-1"
    strays = [
        crowd.start(Program("/usr/bin/qemu-system-x86_64", ["-name", "sandbox-lab-stray-1", "-pidfile", f"{vm}/pid"])),
        crowd.start(Program("/opt/kata/bin/nydusd", ["virtiofs", "--apisock", f"{vm}/nydusd-api.sock"])),
    ]
    strangers = {name: crowd.start(program) for name, program in STRANGERS.items()}
    done = machine.prune(stop_processes=True)
    assert not done.failed, done.message
    assert [one.lives() for one in strays] == [False, False]
    assert [name for name, one in strangers.items() if not one.lives()] == []


# -- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "why"), [(2036, "in the future"), (1999, "older than this boot")], ids=["ahead", "behind"]
)
def test_F1_a_clock_that_was_stepped(machine: Host, crowd: Crowd, year: int, why: str) -> None:
    """Change times cannot be set, so the file system itself is edited while nobody has it mounted."""
    image, mount = Path("/run/lab/image"), Path("/run/vc")
    mounting.small_ext4(mount, image)
    boxes = [kata.sandbox("kata_persist", name) for name in (DEAD, "lab-dead-2")]
    for box in boxes:
        box.write()
    stepped = [boxes[0].state_dir, *boxes[0].state_dir.rglob("*")]
    mounting.unmount(mount)
    for path in stepped if year < 2000 else stepped[-1:]:  # the newest decides
        mounting.edit_ext4(image, f"set_inode_field /{path.relative_to(mount)} ctime {year}0101000000")
    mounting.loop(image, mount)
    found = {one["id"]: one for one in machine.objects()}
    assert found[DEAD]["verdict"] == "unknown" and why in found[DEAD]["evidence"][0], found[DEAD]
    assert found["lab-dead-2"]["verdict"] == "leftover", found["lab-dead-2"]
    assert machine.prune().changed
    assert boxes[0].state_dir.exists() and gone(boxes[1]) == []
    mounting.unmount(mount)
