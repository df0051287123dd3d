# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with a real containerd whose containers were killed at different points, and with some that go on running."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import mounting, processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.containerd import METADATA, SOCKETS, Lab, available

pytestmark = pytest.mark.real
ALL = ["live", "leftover", "unknown", "foreign"]
ASIDE = "/var/lib/lab-aside"
SETTLED = 122.0  # seconds, more than the two minutes that a daemon has for its own clean-up (A4)
POD = ("lab-pod-1", "lab-app-1")


@pytest.fixture(params=[pytest.param("1.6", marks=pytest.mark.long), "1.7"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A running containerd of a generation on an inner host."""
    why = available(request.param)
    if why:
        pytest.skip(why)
    with Lab(request.param) as one:
        one.start()
        yield one


Seen = dict[tuple[str, str], dict[str, Any]]


def look(lab: Lab) -> Seen:
    """All objects of the host by kind and id."""
    answer = lab.module("sandbox_host_info", min_age=0, verdicts=ALL)
    assert not answer.failed and answer.answer["problems"] == [], answer.answer
    return {(one["kind"], one["id"]): one for one in answer.answer["objects"]}


def verdicts(found: Seen, kind: str = "bundle") -> dict[str, str]:
    return {name: one["verdict"] for (of, name), one in found.items() if of == kind}


def prune(lab: Lab, **options: Any) -> Result:
    given = {"scope": "all_leftovers", "min_age": 0, "on_mounted": "unmount", **options}
    done = lab.module("sandbox_prune", **given)
    assert not done.failed, done.answer
    return done


def removed(done: Result) -> set[tuple[str, str]]:
    return {(one["kind"], one["id"]) for one in done.answer["objects"] if one["action"] == "deleted"}


def run(lab: Lab, name: str, number: int, **options: Any) -> None:
    """A container whose process is told from the others by its argument."""
    lab.run(name, args=("/bin/sleep", str(number)), **options)


def kill_container(lab: Lab, name: str, number: int, runtime: str = "v2") -> None:
    """The shim, and the process that outlives it."""
    lab.kill_shim(name, runtime)
    processes.kill(*(pid for pid in lab.host.nested_pids() if str(number) in processes.argv(pid)))


_HELLO = ("/bin/sh", "-c", "echo hello; sleep 0.1")


def answers(lab: Lab, *names: str) -> None:
    """Each still runs, and does what it is told."""
    for name in names:
        # On a busy host ctr now and then ends before it has copied what a command said that has ended at once.
        said = [lab.must("tasks", "exec", "--exec-id", f"lab-{name}-{number}", name, *_HELLO) for number in range(5)]
        assert set(said) - {""} == {"hello"}


def runs_again(lab: Lab, *names: str) -> None:
    """containerd can use each id once more."""
    for name in names:
        lab.ctr("containers", "delete", name)
        lab.run(name)
        answers(lab, name)


def data_of(lab: Lab) -> tuple[Path, str]:
    """A directory of the host's, and the option that mounts it into a container."""
    data = lab.workspace.folder / "data"
    data.mkdir()
    (data / "precious").write_text("keep me", encoding="utf-8")
    return data, f"type=bind,src={data},dst=/mnt,options=rbind:rw"


def test_A4_A5_what_containers_leave_that_were_killed_at_different_points(lab: Lab) -> None:
    """The shim killed; shim and process killed while no daemon runs; a delete interrupted inside containerd; and then a
    database that is gone, so that no engine needs what is left."""
    data, option = data_of(lab)
    before = mounting.checksum(data)
    lab.run("lab-live-1")
    lab.run_pod(*POD)
    run(lab, "lab-shimless", 4001)
    run(lab, "lab-deleted", 4002)
    run(lab, "lab-dead", 4003, options=["--mount", option])
    run(lab, "lab-orphan", 4004)
    lab.kill_shim("lab-shimless")
    processes.wait_until(lambda: "lab-shimless" not in lab.bundles(), "containerd to clean up")
    alive = ("lab-live-1", *POD)
    found = look(lab)
    assert verdicts(found) == dict.fromkeys((*alive, "lab-deleted", "lab-dead", "lab-orphan"), "live")
    (leaked,) = verdicts(found, "socket").items()
    assert leaked[1] == "leftover"  # field problem 43
    lab.interrupt_delete("lab-deleted")
    kill_container(lab, "lab-dead", 4003)
    lab.kill_shim("lab-orphan")

    found = look(lab)
    unknown = {"lab-deleted": "unknown", "lab-dead": "unknown"}
    assert verdicts(found) == {**dict.fromkeys((*alive, "lab-orphan"), "live"), **unknown}
    for name in unknown:
        told = "; ".join(found["bundle", name]["evidence"])
        assert "containerd lists the container" in told and "to clean up, does not run" in told
    assert removed(prune(lab)) == {("socket", leaked[0])}
    assert lab.bundles() == sorted([".lab-deleted", *alive, "lab-dead", "lab-orphan"])

    lab.host.must(["mv", METADATA, ASIDE])
    assert verdicts(look(lab)) == {
        **dict.fromkeys((*alive, "lab-orphan"), "live"),
        **dict.fromkeys(unknown, "leftover"),
    }
    assert removed(prune(lab)) == {("bundle", "lab-deleted"), ("bundle", "lab-dead")}
    assert lab.bundles() == sorted([*alive, "lab-orphan"])
    assert not any("/lab-dead/" in point for point in lab.host.mounts())
    assert [pid for pid in lab.host.nested_pids() if "4004" in processes.argv(pid)], "the orphan runs"
    assert prune(lab).unchanged
    assert mounting.checksum(data) == before

    lab.host.must(["mv", ASIDE, METADATA])
    lab.start()
    answers(lab, *alive)
    runs_again(lab, "lab-shimless", "lab-deleted", "lab-dead", "lab-orphan")
    assert mounting.checksum(data) == before
    sockets = {name for name in lab.sockets() if verdicts(look(lab), "socket").get(name) == "leftover"}
    assert removed(prune(lab)) == {("socket", name) for name in sockets}
    answers(lab, *alive)


def test_A4_a_daemon_younger_than_two_minutes_may_still_clean_up(lab: Lab) -> None:
    lab.run("lab-live-1")
    run(lab, "lab-deleted", 4001)
    lab.interrupt_delete("lab-deleted")
    lab.start()
    lab.must("containers", "delete", "lab-deleted")
    found = look(lab)
    assert verdicts(found) == {"lab-live-1": "live", "lab-deleted": "unknown"}
    (why,) = found["bundle", "lab-deleted"]["evidence"]
    assert "has just started, and may still clean up itself" in why
    assert not prune(lab, kinds=["bundle"]).changed
    assert lab.bundles() == [".lab-deleted", "lab-live-1"]


def test_containerd_is_restarted_during_a_prune(lab: Lab) -> None:
    """Its containers are kept at every moment: while it runs, while it does not, and while it loads them."""
    lab.run("lab-live-1")
    lab.run_pod(*POD)
    alive = ("lab-live-1", *POD)
    bind = "import socket, sys; [socket.socket(1).bind(path) for path in sys.argv[1:]]"
    paths = [f"{SOCKETS}/{number:064x}" for number in range(100)]
    lab.host.must([sys.executable, "-c", bind, *paths])
    options = {"scope": "all_leftovers", "min_age": 0, "on_mounted": "unmount", "stop_processes": True}
    pruning = lab.start_module("sandbox_prune", **options)
    lab.kill_daemon()
    lab.start()
    done = pruning()
    assert not done.failed, done.answer
    assert {kind for kind, _name in removed(done)} <= {"socket"}
    answers(lab, *alive)
    assert not any(lab.host.path(path).exists() for path in paths) or prune(lab).changed
    assert verdicts(look(lab)) == dict.fromkeys(alive, "live")


@pytest.mark.long
@pytest.mark.parametrize("lab", ["1.7"], indirect=True)  # of one alone: it waits for two minutes
def test_A4_with_the_daemon_settled_what_it_leaves_itself_goes(lab: Lab) -> None:
    """Its own tombstone, which no restart touches, and a bundle that it cannot remove: its root file system's directory
    is not empty (field problem 38)."""
    lab.run("lab-live-1")
    run(lab, "lab-full", 4001)
    run(lab, "lab-listed", 4002)
    run(lab, "lab-deleted", 4003)
    lab.interrupt_delete("lab-deleted")
    for name, number in (("lab-full", 4001), ("lab-listed", 4002)):
        kill_container(lab, name, number)
        lab.host.must(["umount", f"{lab.host_bundle(name)}/rootfs"])
        (lab.bundle(name) / "rootfs" / "log").write_text("", encoding="utf-8")
    lab.start()
    started = time.monotonic()
    for name in ("lab-full", "lab-deleted"):
        lab.must("containers", "delete", name)
    assert lab.bundles() == [".lab-deleted", "lab-full", "lab-listed", "lab-live-1"]
    time.sleep(max(0.0, SETTLED - (time.monotonic() - started)))
    found = look(lab)
    assert verdicts(found) == {
        "lab-live-1": "live",
        "lab-listed": "unknown",
        "lab-full": "leftover",
        "lab-deleted": "leftover",
    }
    assert found["bundle", "lab-listed"]["evidence"] == ["containerd lists the container"]
    done = removed(prune(lab))
    assert {one for one in done if one[0] == "bundle"} == {("bundle", "lab-full"), ("bundle", "lab-deleted")}
    assert lab.bundles() == ["lab-listed", "lab-live-1"]
    answers(lab, "lab-live-1")
    runs_again(lab, "lab-full", "lab-deleted")


def test_A10_a_v1_shim_and_a_gvisor_whose_root_is_runcs_are_seen_as_they_are(lab: Lab) -> None:
    """runsc in the place of runc has its state among runc's: found by its arguments, and runc's own is none of it."""
    lab.run("lab-live-1")
    lab.run("lab-v1-live", runtime="v1")
    run(lab, "lab-v1-dead", 4001, runtime="v1")
    lab.run_gvisor("lab-gvisor-live")
    lab.run_gvisor("lab-gvisor-dead")
    lab.kill_daemon()
    kill_container(lab, "lab-v1-dead", 4001, "v1")
    lab.kill_shim("lab-gvisor-dead")
    processes.kill(*(pid for pid in lab.host.pids() if "lab-gvisor-dead" in processes.argv(pid)))
    alive = ("lab-live-1", "lab-v1-live", "lab-gvisor-live")
    lab.host.must(["mv", METADATA, ASIDE])
    found = look(lab)
    dead = ("lab-v1-dead", "lab-gvisor-dead")
    assert verdicts(found) == {**dict.fromkeys(alive, "live"), **dict.fromkeys(dead, "leftover")}
    assert verdicts(found, "sandbox") == {"lab-gvisor-live": "live", "lab-gvisor-dead": "leftover"}
    done = removed(prune(lab))
    assert {("bundle", name) for name in dead} <= done and ("sandbox", "lab-gvisor-dead") in done
    assert not any(name in alive for _kind, name in done)
    lab.host.must(["mv", ASIDE, METADATA])
    lab.start()
    answers(lab, *alive)
    for name in dead:
        lab.must("containers", "delete", name)
    lab.run("lab-v1-dead", runtime="v1")
    lab.run_gvisor("lab-gvisor-dead")
    answers(lab, *alive, *dead)
