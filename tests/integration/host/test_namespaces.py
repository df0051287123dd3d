# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A prune that runs in namespaces of its own, or on another host's tree: what it does not see is no proof of death."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.host.conftest import ALL, Host
from ansible_collections.sandboxed.containers.tests.integration.host.test_prune import MAPPINGS, pod, stale_socket
from ansible_collections.sandboxed.containers.tests.integration.host.test_scenarios import DEAD, LIVE, is_whole, state
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import gone
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, own_host, trees
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS, Places
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

pytestmark = pytest.mark.real


def test_A2_a_container_with_the_hosts_processes_and_a_run_of_its_own(machine: Host, crowd: Crowd) -> None:
    """All processes are seen from there, and nothing of what they serve."""
    words = ["-name", f"sandbox-{LIVE}", "-pidfile", f"/run/vc/vm/{LIVE}/pid"]
    owner = crowd.start(Program("/usr/bin/qemu-system-x86_64", words))
    assert machine.verdicts() == {("process", LIVE): "leftover"}
    own_host.leave_mount_namespace()
    mounting.tmpfs(Path("/run"))
    assert machine.verdicts() == {("process", LIVE): "unknown"}
    assert not machine.prune(stop_processes=True).changed and owner.lives()


def test_D3_in_a_private_mount_namespace_what_the_host_has_mounted_is_kept(machine: Host, crowd: Crowd) -> None:
    """Unmounted there it stays mounted for the host, and a delete would detach it. (sees_all_processes: see A2.)"""
    dead = [pod(crowd, layout, f"lab-dead-{layout}".replace("_", "-"), alive=False) for layout in GENERATIONS]
    before = (mounting.table(1), [one.shared.checksum() for one in dead])
    own_host.leave_mount_namespace()
    for options in ({"on_mounted": "refuse"}, {}):
        done = machine.prune(**options)
        assert [one for one in done.answer["objects"] if one["action"] == "deleted"] == []
        assert any("in the mount namespace of pid 1" in one.get("msg", "") for one in done.answer["objects"])
        assert (mounting.table(1), [one.shared.checksum() for one in dead]) == before
        assert all(one.box.state_dir.exists() and one.box.bundle(one.box.id).exists() for one in dead)
    assert f"{len(done.answer['objects']) - 6} skipped" in done.message and " 0 changed." in done.message, done.message


def test_A2_in_a_pid_namespace_every_death_is_unknown(machine: Host, crowd: Crowd) -> None:
    """Without the assertion: an owner may run outside of it."""
    pod(crowd, "kata_persist", DEAD, alive=False)
    pod(crowd, "kata_rs", LIVE, alive=True)
    stale_socket("0" * 64)
    before = state()
    given = {"min_age": 0, "on_mounted": "unmount"}
    found = Forked("sandbox_host_info", {"min_age": 0, "verdicts": ALL}).result()
    verdicts = {one["id"]: one["verdict"] for one in found.answer["objects"]}
    assert verdicts[DEAD] == verdicts["0" * 64] == "unknown" and verdicts[LIVE] == "live"
    assert "leftover" not in verdicts.values()
    dead = next(one for one in found.answer["objects"] if (one["kind"], one["id"]) == ("sandbox", DEAD))
    assert any("this is not the initial pid namespace" in text for text in dead["evidence"]), dead
    for options in ({}, {"sees_all_processes": False}):
        done = Forked("sandbox_prune", {**given, **options, "scope": "all_leftovers"}).result()
        assert not done.failed and not done.changed and done.answer["objects"] == [], done.message
    assert state() == before


def test_F_host_root_with_an_absolute_var_run_link_and_live_data_outside(machine: Host, crowd: Crowd) -> None:
    """/var/run -> /run means the image's own /run; the host's sandboxes of the same names are another's."""
    alive = [pod(crowd, layout, f"lab-{layout}".replace("_", "-"), alive=True) for layout in GENERATIONS]
    checksums = [one.shared.checksum() for one in alive]
    image = Path("/var/lib/image")
    (image / "run").mkdir(parents=True)
    (image / "var").mkdir()
    (image / "var/run").symlink_to("/run")
    runsc = Path("run/runsc/lab-g1_sandbox:lab-g1.lock")
    for root in (Path("/"), image):
        trees.directory((root / runsc).parent, 0o711)
        (root / runsc).touch(0o600)
    inside = [
        kata.sandbox(layout, f"lab-in-{layout}".replace("_", "-"), places=Places(image, "")) for layout in GENERATIONS
    ]
    same = kata.sandbox("kata_persist", "lab-kata-persist", places=Places(image, ""))
    for box in (*inside, same):
        box.write()
        box.make_bundles()
        box.make_vm()
        trees.directory(image / str(MAPPINGS).lstrip("/") / box.id / box.id, 0o750)
    before = state()
    assert (
        Forked("sandbox_prune", {"min_age": 0, "scope": "all_leftovers", "host_root": str(image)}).result().changed
        is False
    )
    done = machine.prune(host_root=str(image))
    assert not done.failed and done.changed, done.answer
    assert [left for box in inside for left in gone(box)] == [], done.answer["objects"]
    assert not (image / runsc).exists()
    assert same.state_dir.exists(), "a process of that name lives, and this tree may be its own"
    assert (Path("/") / runsc).exists() and state() == before
    assert all(is_whole(one, checksum) for one, checksum in zip(alive, checksums))


@pytest.mark.parametrize("where", ["moved", "not mounted", "usual"])
def test_A4_a_stopped_containerd_whose_root_directory_was_moved(machine: Host, where: str) -> None:
    """Its configuration tells where its database is; and where that is not there, nobody knows what it lists."""
    image = Path("/var/lib/image")
    bundle = image / "run/containerd/io.containerd.runtime.v2.task/k8s.io" / DEAD
    trees.directory(bundle / "rootfs", 0o711)
    (bundle / "config.json").write_text("{}", encoding="utf-8")
    if where != "usual":
        trees.directory(image / "etc/containerd", 0o755)
        settings = 'version = 2\nroot = "/data/containerd"\n[grpc]\nroot = "/elsewhere"\n'
        (image / "etc/containerd/config.toml").write_text(settings, encoding="utf-8")
    if where == "moved":
        trees.directory(image / "data/containerd/io.containerd.metadata.v1.bolt", 0o711)
        (image / "data/containerd/io.containerd.metadata.v1.bolt/meta.db").touch()
    (found,) = machine.objects(host_root=str(image))
    told = "; ".join(found["evidence"])
    expected = {"moved": "to clean up, does not run", "not mounted": "is not known", "usual": "no process names it"}
    assert expected[where] in told, told
    assert found["verdict"] == ("leftover" if where == "usual" else "unknown")
    assert machine.prune(host_root=str(image)).changed is (where == "usual") and bundle.exists() is (where != "usual")
