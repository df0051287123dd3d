# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with a real runsc whose root directory nothing but its own arguments tells (safety.md A10)."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.tests.integration.host.conftest import Host
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import files, hold_lock
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.runsc import VERSIONS, Lab, Runsc, available

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("runsc", ["new"], indirect=True)
# The same mount and pid namespaces that a container on this host has, with a /run of its own.
NESTED = [
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
    "sh",
    "-euc",
]


@pytest.fixture
def lab(host: None) -> Iterator[Lab]:
    """Ends what the test started and removes what it made, also when it fails."""
    with Lab() as one:
        yield one


@pytest.fixture(params=[pytest.param("old", marks=pytest.mark.long), "new"])
def runsc(lab: Lab, request: pytest.FixtureRequest) -> Runsc:
    """A runsc with an empty root directory."""
    why = available(request.param)
    if why:
        pytest.skip(why)
    assert set(VERSIONS) == {"old", "new"}
    return lab.runsc(request.param)


def answers(runsc: Runsc, *names: str) -> None:
    """Each still runs, and does what it is told."""
    for name in names:
        assert runsc.must("exec", name, "/bin/sh", "-c", f"echo hello {name}") == f"hello {name}"


def deleted(machine: Host, **options: object) -> set[tuple[str, str]]:
    done = machine.prune(**options)
    assert not done.failed, done.message
    return {(one["kind"], one["id"]) for one in done.answer["objects"] if one["action"] == "deleted"}


def test_A10_what_lives_stays_and_what_is_dead_goes(machine: Host, lab: Lab, runsc: Runsc) -> None:
    """Killed; an empty state with its sandbox alive (gvisor#5052); a lock without a state; a lock that is held."""
    runsc.launch("lab-live", lab.bundle("lab-live"))
    lab.pod(runsc, "lab-pod", "lab-app")
    for name in ("lab-dead", "lab-held"):
        runsc.launch(name, lab.bundle(name))
        processes.kill(runsc.sandbox_pid(name), runsc.gofer_pid(name))
    assert runsc.interrupt_create("lab-torn", lab.bundle("lab-torn"), "write").code != 0
    orphan = [pid for pid in runsc.pids() if "lab-torn" in processes.argv(pid)]
    assert orphan and runsc.file("lab-torn", "state").read_bytes() == b""
    runsc.file("lab-lock", "lock").touch(0o600)
    holder = hold_lock(lab, runsc.file("lab-held", "lock"))
    try:
        found = machine.verdicts()
        assert found == {
            ("sandbox", "lab-live"): "live",
            ("sandbox", "lab-pod"): "live",
            ("sandbox", "lab-torn"): "live",
            ("sandbox", "lab-dead"): "leftover",
            ("sandbox", "lab-lock"): "leftover",
            ("sandbox", "lab-held"): "unknown",
        }
        assert deleted(machine) == {("sandbox", "lab-dead"), ("sandbox", "lab-lock")}
        assert deleted(machine, stop_processes=True) == set()
    finally:
        holder.close()
    assert deleted(machine) == {("sandbox", "lab-held")}
    assert all(processes.lives(pid) for pid in orphan)
    assert sorted(name.partition("_")[0] for name in files(runsc) if name.endswith(".lock")) == [
        "lab-app", "lab-live", "lab-pod", "lab-torn",
    ]  # fmt: skip
    answers(runsc, "lab-live", "lab-pod", "lab-app")
    for name in ("lab-dead", "lab-held", "lab-lock"):
        runsc.launch(name, lab.bundle(f"{name}-again"))
    answers(runsc, "lab-live", "lab-app", "lab-dead", "lab-held", "lab-lock")


@newest
def test_33_a_sandbox_whose_state_is_gone_is_ended_on_request_and_nothing_else(
    machine: Host, lab: Lab, runsc: Runsc
) -> None:
    """gvisor#9834: runsc neither lists nor ends it."""
    orphan = runsc.launch("lab-orphan", lab.bundle("lab-orphan"))
    gofer = runsc.gofer_pid("lab-orphan")
    live = runsc.launch("lab-live", lab.bundle("lab-live"))
    reader = lab.spawn([sys.executable, "-c", "import time; time.sleep(600)", "lab-orphan", f"--root={runsc.root}"])
    for path in runsc.root.glob("*lab-orphan*"):
        path.unlink()
    assert runsc.listed() == ["lab-live"]
    (found,) = machine.objects(kinds=["process"], verdicts=["leftover"])
    assert (found["id"], found["pid"]) == ("lab-orphan", orphan)
    kept = machine.prune()
    assert not kept.changed and "stop_processes=true" in kept.answer["objects"][0]["msg"], kept.answer
    assert processes.lives(orphan)
    assert deleted(machine, stop_processes=True) == {("process", "lab-orphan")}
    processes.wait_until(lambda: not processes.lives(gofer), "the gofer to follow its sandbox")
    assert not processes.lives(orphan) and processes.lives(live) and processes.lives(reader.pid)
    answers(runsc, "lab-live")
    runsc.launch("lab-orphan", lab.bundle("again"))
    answers(runsc, "lab-orphan", "lab-live")


@newest
def test_E2_a_sandbox_of_a_container_on_this_host_is_none_of_ours(machine: Host, lab: Lab, runsc: Runsc) -> None:
    """Its root directory lies in that container's /run, so that nothing here knows it: that proves nothing."""
    bundle = lab.bundle("lab-inner")
    runsc.root.mkdir(mode=0o711)
    inner = lab.runsc("new", root=runsc.root)
    command = " ".join(map(str, [inner.program, *inner.flags, "run", "--detach", "--bundle", bundle, "lab-inner"]))
    script = f"mount -t tmpfs tmpfs {runsc.root}; {command}; echo ready; sleep 600"
    nested = lab.spawn([*NESTED, script])
    processes.wait_until(lambda: "ready" in nested.printed(), "the sandbox in the container")
    (sandbox,) = [pid for pid in runsc.pids() if processes.argv(pid)[0] == "runsc-sandbox"]
    assert files(runsc) == []
    (found,) = [one for one in machine.objects() if one.get("pid") == sandbox]
    assert found["verdict"] == "unknown", found
    assert deleted(machine, stop_processes=True) == set()
    assert processes.lives(sandbox)
