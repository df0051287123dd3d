# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with dead and living sandboxes of all kinds is seen as it is, and pruned of what is dead alone."""

from __future__ import annotations

import fcntl
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.integration.host.conftest import Host
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import gone
from ansible_collections.sandboxed.containers.tests.lab import kata, kata_cgroups, mounting, trees
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS, Sandbox, Shared
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program, Started

pytestmark = pytest.mark.real
MAPPINGS = Path("/run/kata-containers/containers-mapping")
SOCKETS = Path("/run/containerd/s")
PLACES = (
    Path("/run/vc"),
    Path("/run/kata"),
    Path("/run/kata-containers"),
    Path("/var/lib/vc"),
    Path("/run/containerd"),
)


class Pod(NamedTuple):
    """A sandbox, the data that is mounted into it, and its processes."""

    box: Sandbox
    shared: Shared
    owners: list[Started]


def pod(crowd: Crowd, layout: str, name: str, alive: bool) -> Pod:
    """A pod with its bundles, mounts, mapping, VM directory; killed with everything at once, or alive."""
    box = kata.sandbox(layout, name, [name, f"{name}-app"])
    box.write()
    box.make_bundles()
    for container in box.containers:
        trees.directory(MAPPINGS / container / name, 0o750)
    owners = [crowd.start(box.program(kind)) for kind in ("shim", "qemu", "virtiofsd")]
    shared = box.make_share()
    box.make_vm()
    if not alive:
        for one in owners:
            one.kill()
    return Pod(box, shared, owners)


def stale_socket(name: str) -> Path:
    SOCKETS.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(SOCKETS / name))
    return SOCKETS / name


@pytest.fixture
def pods(crowd: Crowd) -> dict[str, list[Pod]]:
    """One dead and one living pod of each generation."""
    return {
        word: [pod(crowd, layout, f"lab-{word}-{layout.replace('_', '-')}", word == "live") for layout in GENERATIONS]
        for word in ("dead", "live")
    }


def test_every_leftover_goes_and_nothing_that_lives(machine: Host, pods: dict[str, list[Pod]]) -> None:
    before = mounting.table()
    stale = stale_socket("0" * 64)
    living = {one.box.id: (one.shared.checksum(), trees.listing(*one.box.trees)) for one in pods["live"]}
    dead_data = [(one.shared, one.shared.checksum()) for one in pods["dead"]]
    found = machine.objects()
    for entry in found:
        ours = entry["id"].startswith(("lab-dead", "0000"))
        assert entry["verdict"] == ("leftover" if ours else "live"), entry
    assert {entry["kind"] for entry in found if entry["verdict"] == "leftover"} >= {
        "sandbox",
        "bundle",
        "mapping",
        "socket",
    }

    checked = machine.prune(_ansible_check_mode=True, _ansible_diff=True)
    assert checked.changed and mounting.table() == before
    done = machine.prune(_ansible_diff=True)
    assert not done.failed and done.changed, done.message
    assert checked.answer["diff"] == done.answer["diff"]
    assert [entry["action"] for entry in done.answer["objects"]] == ["deleted"] * len(done.answer["objects"])
    for one in pods["dead"]:
        assert gone(one.box) == []
        assert not any((MAPPINGS / name).exists() or one.box.bundle(name).exists() for name in one.box.containers)
    assert not stale.exists()
    for one in pods["live"]:
        assert all(owner.lives() for owner in one.owners)
        assert living[one.box.id] == (one.shared.checksum(), trees.listing(*one.box.trees))
        assert all((MAPPINGS / name).exists() and one.box.bundle(name).exists() for name in one.box.containers)
    assert all(shared.checksum() == data for shared, data in dead_data), "the host's own data behind the mounts"
    assert machine.leftovers() == set()
    again = machine.prune()
    assert not again.changed and not again.failed, again.message


def test_looking_changes_nothing(machine: Host, pods: dict[str, list[Pod]]) -> None:
    del pods
    before = (trees.listing(*PLACES), mounting.table(), sorted(map(str, Path("/run/lock").rglob("*"))))
    machine.info(with_plan=True)
    machine.prune(_ansible_check_mode=True)
    assert (trees.listing(*PLACES), mounting.table(), sorted(map(str, Path("/run/lock").rglob("*")))) == before


def test_min_age_a_young_object_is_unknown(machine: Host, pods: dict[str, list[Pod]]) -> None:
    del pods
    found = machine.objects(min_age=3600)
    assert {one["verdict"] for one in found} <= {"live", "unknown"}
    assert any("less than min_age=3600" in text for one in found for text in one["evidence"])
    kept = machine.prune(min_age=3600)
    assert not kept.changed and not kept.failed


def test_C1_a_locked_sandbox_is_unknown_and_never_waited_for(machine: Host, crowd: Crowd) -> None:
    dead = pod(crowd, "kata_store", "lab-dead-1", alive=False)
    with open(dead.box.state_dir / "lock", "rb") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (found,) = machine.objects(kinds=["sandbox"])
        assert found["verdict"] == "unknown" and "is held by" in found["evidence"][0], found
        assert machine.prune(kinds=["sandbox"]).unchanged
    assert machine.prune().changed and gone(dead.box) == []


def test_a_plan_is_carried_out_where_nothing_changed(machine: Host, pods: dict[str, list[Pod]]) -> None:
    plan = machine.info(with_plan=True, limit=1).answer["plan"]
    first, second, *_rest = pods["dead"]
    assert len(plan["steps"]) > 1 and plan["complete"]
    (first.box.state_dir / "new").touch()  # its change time is another one now
    done = machine.prune(plan=plan)
    assert not done.failed, done.message
    actions: dict[tuple[str, str], Any] = {(one["kind"], one["id"]): one for one in done.answer["objects"]}
    assert actions["sandbox", first.box.id]["action"] == "skipped"
    assert "since the plan was made" in actions["sandbox", first.box.id]["msg"]
    assert first.box.state_dir.exists() and gone(second.box) == []


@pytest.mark.parametrize("change", ["machine_id", "boot_id", "host_root", "schema", "steps", "empty"])
def test_F2_a_plan_of_another_host_or_boot_is_refused_whole(machine: Host, crowd: Crowd, change: str) -> None:
    dead = pod(crowd, "kata_persist", "lab-dead-1", alive=False)
    plan = machine.info(with_plan=True).answer["plan"]
    other: dict[str, Any] = {"schema": 2, "steps": [{"kind": "sandbox"}]}
    plan = {} if change == "empty" else {**plan, change: other.get(change, "00000000-0000-4000-8000-000000000000")}
    refused = machine.prune(plan=plan)
    assert refused.failed and not refused.changed and "plan" in refused.message, refused.message
    assert dead.box.state_dir.exists()


@pytest.mark.parametrize("by", ["template", "cache"])
def test_D5_a_factorys_machines_are_no_candidates(machine: Host, crowd: Crowd, by: str) -> None:
    """A VM template with no VM running, or a cache of machines that no sandbox has yet."""
    dead = pod(crowd, "kata_persist", "lab-dead-1", alive=False)
    factory = [Path("/run/vc/vm/0f1e2d3c"), *([Path("/run/vc/vm/template")] if by == "template" else [])]
    for one in factory:
        one.mkdir(parents=True)
        (one / "memory").write_bytes(b"x" * 100)
    if by == "cache":
        Path("/run/kata-containers/cache.sock").touch()
    assert machine.leftovers() >= {("sandbox", dead.box.id)}
    assert ("sandbox", "0f1e2d3c") not in machine.verdicts() and ("sandbox", "template") not in machine.verdicts()
    assert machine.prune().changed
    assert all((one / "memory").exists() for one in factory) and gone(dead.box) == []


@pytest.mark.parametrize("engine", ["Docker", "CRI-O or Podman"])
def test_A5_what_an_engine_lists_is_unknown(machine: Host, crowd: Crowd, engine: str) -> None:
    """Also when its container is stopped: the engine may start or delete it at any time."""
    dead = pod(crowd, "kata_persist", "lab-dead-1", alive=False)
    docker, storage = Path("/var/lib/docker/containers"), Path("/var/lib/containers/storage/overlay-containers")
    if engine == "Docker":
        (docker / "lab-dead-1").mkdir(parents=True)
    else:
        storage.mkdir(parents=True)
        (storage / "containers.json").write_text('[{"id": "lab-dead-1", "names": ["x"]}]', encoding="utf-8")
    (found,) = machine.objects(kinds=["sandbox"])
    assert found["verdict"] == "unknown" and f"{engine} lists lab-dead-1" in found["evidence"], found
    assert not machine.prune().changed and dead.box.state_dir.exists()


def test_A5_an_engine_whose_list_cannot_be_read_keeps_everything(machine: Host, crowd: Crowd) -> None:
    pod(crowd, "kata_persist", "lab-dead-1", alive=False)
    storage = Path("/var/lib/containers/storage/overlay-containers")
    storage.mkdir(parents=True)
    (storage / "containers.json").write_text('[{"id": "other"}', encoding="utf-8")
    assert machine.leftovers() == set()
    (found,) = machine.objects(kinds=["sandbox"])
    assert "what CRI-O or Podman lists cannot be read" in found["evidence"][0]


@pytest.mark.parametrize("keeps", ["", "process", "login", "mount", "another user"])
def test_D6_a_rootless_users_directory(machine: Host, crowd: Crowd, keeps: str) -> None:
    """Only that of a user that Kata made, under which nothing runs; and the user stays."""
    comment = '"Kata Containers temporary hypervisor user"' if keeps != "another user" else "a person"
    passwd = Path("/run/lab/passwd")
    passwd.write_text(f"root:x:0:0:root:/root:/bin/sh\nkata-17:x:4711:4711:{comment}:/home/x:/sbin/nologin\n")
    mounting.bind(passwd, Path("/etc/passwd"))
    folder = Path("/run/user/4711")
    (folder / "run/vc/vm/lab-dead-1").mkdir(parents=True)
    if keeps == "process":
        with subprocess.Popen(["sleep", "1000"], user=4711) as popen:
            assert ("rootless", "kata-17") not in machine.leftovers()
            assert machine.prune().unchanged
            popen.kill()
        return
    if keeps == "login":
        trees.directory(Path("/run/systemd/users"), 0o755)
        Path("/run/systemd/users/4711").touch()
    if keeps == "mount":
        mounting.tmpfs(folder)
    assert machine.prune().changed == (keeps == "")
    assert folder.exists() == (keeps != "") and "kata-17" in passwd.read_text()
    if keeps == "":  # field problem 29: the user stays, and is told of as somebody else's
        (left,) = machine.info(kinds=["rootless"], verdicts=["foreign", "leftover", "unknown"]).answer["objects"]
        assert (left["id"], left["verdict"]) == ("kata-17", "foreign") and "userdel" in left["evidence"][0]
        assert machine.prune().unchanged


def test_max_removals_refuses_before_the_first(machine: Host, pods: dict[str, list[Pod]]) -> None:
    refused = machine.prune(max_removals=2)
    assert refused.failed and not refused.changed and "more than max_removals=2" in refused.message
    assert all(one.box.state_dir.exists() for one in pods["dead"])
    assert machine.prune(max_removals=0).changed


def test_exactly_one_of_plan_and_scope(machine: Host) -> None:
    neither = Forked("sandbox_prune", machine.options).result()
    both = Forked("sandbox_prune", {**machine.options, "scope": "all_leftovers", "plan": {"schema": 1}}).result()
    assert neither.failed and "neither is given" in neither.message
    assert both.failed and "both are given" in both.message


def test_R4_what_needs_a_bundle_that_is_kept_for_its_mounts_is_kept_in_check_mode_too(
    machine: Host, crowd: Crowd
) -> None:
    """The engine may still know a sandbox whose bundle is not removed before it."""
    dead = pod(crowd, "kata_persist", "lab-dead-1", alive=False)
    while mounting.below(dead.box.share_dir):
        mounting.unmount(Path(mounting.below(dead.box.share_dir)[-1]))
    answers = [machine.prune(on_mounted="refuse", _ansible_check_mode=check) for check in (True, False)]
    actions = [{(one["kind"], one["id"]): one["action"] for one in answer.answer["objects"]} for answer in answers]
    assert actions[0] == actions[1] and set(actions[0].values()) == {"skipped"}, actions
    assert dead.box.state_dir.exists() and machine.prune().changed and gone(dead.box) == []


def test_A6_a_machine_that_runs_keeps_the_bundles_of_its_pod(machine: Host, crowd: Crowd) -> None:
    """Its shim is dead, and nothing else is left of the pod: the machine may still use what is mounted in them."""
    box = kata.sandbox("kata_persist", "lab-live-1", ["lab-live-1-app"])
    qemu = crowd.start(box.program("qemu"))
    trees.remove(box.vm_dir)
    trees.remove(box.bundle(box.id))
    box.make_bundles()
    spec = box.bundle("lab-live-1-app") / "config.json"
    spec.write_text('{"annotations": {"io.kubernetes.cri.sandbox-id": "lab-live-1"}}', encoding="utf-8")
    assert machine.verdicts() == {("bundle", "lab-live-1-app"): "live"}
    assert not machine.prune(stop_processes=True).changed and qemu.lives() and spec.exists()
    trees.remove(spec.parent)
    assert machine.prune(stop_processes=True).changed and qemu.wait()


def test_D7_an_empty_cgroup_of_a_dead_sandbox_goes_and_one_with_a_process_stays(machine: Host, crowd: Crowd) -> None:
    if why := kata_cgroups.available():
        pytest.skip(why)
    dead, live = kata_cgroups.overhead("lab-cgroup-dead"), kata_cgroups.overhead("lab-cgroup-live")
    crowd.start(Program("/usr/bin/renamed", cgroups=live))
    about: dict[str, Any] = {"kinds": ["cgroup"], "patterns": ["lab-cgroup-*"]}
    found = {path: one["verdict"] for one in machine.objects(**about) for path in one["paths"]}
    wanted = {**dict.fromkeys(map(str, dead), "leftover"), **dict.fromkeys(map(str, live), "live")}
    assert {path: found[path] for path in wanted} == wanted
    done = machine.prune(**about)
    assert not done.failed and done.changed, done.message
    assert not any(one.exists() for one in dead) and all(one.exists() and one.parent.exists() for one in live)
    assert machine.prune(**about).unchanged
