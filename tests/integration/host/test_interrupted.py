# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A prune that is killed at any point, with and without a reboot after it, and runs that overlap (promises 3 and 4)."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.integration.host.conftest import Host
from ansible_collections.sandboxed.containers.tests.integration.host.test_prune import MAPPINGS, Pod, pod, stale_socket
from ansible_collections.sandboxed.containers.tests.integration.host.test_scenarios import DEAD, LIVE, is_whole
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import gone, some_long
from ansible_collections.sandboxed.containers.tests.lab import mounting, own_host, processes
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked, counted, killed_at
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program, Started

pytestmark = pytest.mark.real
# What changes something: a mount, a name, a lock's file, what is printed, or a process.
CALLS = (
    "mount", "umount2", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "write",
    "fsync", "pidfd_send_signal",
)  # fmt: skip
# In the short run: one in the middle of those of each name that cannot be taken back.
FEW = ("umount2", "renameat2", "unlinkat")
ORPHAN = "lab-orphan-1"


class Leftovers(NamedTuple):
    """One leftover of each kind, without cgroups, which other tests have as well: each goes by a single rmdir."""

    pod: Pod
    data: str
    socket: Path
    orphan: Started

    def rests(self) -> list[str]:
        """What is still there."""
        box = self.pod.box
        paths = [
            self.socket,
            *(MAPPINGS / name for name in box.containers),
            *map(box.bundle, box.containers),
        ]
        alive = [f"pid {self.orphan.pid}"] if self.orphan.lives() else []
        return [*gone(box), *(str(path) for path in paths if path.exists()), *alive]


def leave(crowd: Crowd, layout: str) -> Leftovers:
    """All that a crash leaves, and a machine of which nothing on disk tells."""
    dead = pod(crowd, layout, DEAD, alive=False)
    words = ["-name", f"sandbox-{ORPHAN}", "-pidfile", f"/run/vc/vm/{ORPHAN}/pid"]
    orphan = crowd.start(Program("/usr/bin/qemu-system-x86_64", words))
    return Leftovers(dead, dead.shared.checksum(), stale_socket("c" * 64), orphan)


def points(made: Counter[str], part: int) -> list[tuple[str, int]]:
    """The calls to be killed at, by name and number. part: of the two that all are divided into, 0: only a few."""
    if part:
        return [(name, number) for name in made for number in range(1, made[name] + 1)][part - 1 :: 2]
    return [(name, number) for name in FEW for number in [(made[name] + 1) // 2] if number]


# At every call for one layout: what differs between them is a sandbox's removal, and tests/faults kills that at every
# call for each.
@pytest.mark.parametrize(
    ("layout", "part"),
    some_long(("kata_persist", 0), ("kata_store", 0), ("kata_rs", 0), ("kata_persist", 1), ("kata_persist", 2)),
    ids=lambda value: {0: "few", 1: "odd", 2: "even"}.get(value, value),
)
def test_a_prune_that_is_killed_is_finished_by_the_next(machine: Host, crowd: Crowd, layout: str, part: int) -> None:
    live = pod(crowd, "kata_persist", LIVE, alive=True)
    checksum = live.shared.checksum()
    more: dict[str, Any] = {"on_mounted": "unmount", "stop_processes": True}
    options = {**machine.options, "scope": "all_leftovers", **more}
    left = leave(crowd, layout)
    made = counted("sandbox_prune", options, CALLS)
    assert made["umount2"] and made["unlinkat"] and made["pidfd_send_signal"] and left.rests() == [], made
    table = mounting.table()
    for name, number in points(made, part):
        left = leave(crowd, layout)
        assert killed_at("sandbox_prune", options, name, number) is None, f"{name} {number} was not made"
        assert is_whole(live, checksum), f"{name} {number}"
        done = machine.prune(**more)
        assert not done.failed, f"{name} {number}: {done.message}"
        assert left.rests() == [], f"{name} {number}: {done.answer}"
        assert left.pod.shared.checksum() == left.data and mounting.table() == table, f"{name} {number}"
        assert is_whole(live, checksum) and machine.leftovers() == set(), f"{name} {number}"


@pytest.mark.parametrize("number", some_long(1, 2, 3))
@pytest.mark.parametrize("layout", some_long("kata_store", "kata_persist"))
def test_D1_a_reboot_in_the_middle_of_a_delete(machine: Host, crowd: Crowd, layout: str, number: int) -> None:
    """What lies on disk stays, and half of a sandbox is finished."""
    left = leave(crowd, layout)
    options = {**machine.options, "scope": "all_leftovers", "on_mounted": "unmount", "kinds": ["bundle", "sandbox"]}
    killed_at("sandbox_prune", options, "renameat2", number)
    own_host.reboot()
    done = machine.prune()
    assert not done.failed, done.message
    assert gone(left.pod.box) == [] and left.pod.shared.checksum() == left.data
    assert machine.leftovers() == set()


@pytest.mark.parametrize(("runs", "pods"), [(4, 1), pytest.param(16, 3, marks=pytest.mark.long)], ids=["4", "16"])
def test_runs_that_overlap_delete_each_object_once(machine: Host, crowd: Crowd, runs: int, pods: int) -> None:
    """Nobody fails, and nobody reports what another has done. Since no lock is waited for, each may skip what another
    holds at that moment, and the next run finishes."""
    live = pod(crowd, "kata_rs", LIVE, alive=True)
    checksum = live.shared.checksum()
    names = [
        (layout, f"lab-dead-{layout}-{number}".replace("_", "-")) for number in range(pods) for layout in GENERATIONS
    ]
    dead = [pod(crowd, layout, name, alive=False) for layout, name in names]
    sockets = [stale_socket(f"{number:064x}") for number in range(3)]
    expected = Counter(machine.leftovers())
    options: dict[str, Any] = {**machine.options, "scope": "all_leftovers", "on_mounted": "unmount"}
    started = [Forked("sandbox_prune", options, stopped=True) for _number in range(runs)]
    for one in started:
        processes.wait_until(lambda pid=one.pid: processes.state(pid) == "T", "it to stop")  # type: ignore[misc]
    for one in started:
        os.kill(one.pid, signal.SIGCONT)
    answers = [one.result() for one in started]
    answers.append(machine.prune())
    assert [answer.message for answer in answers if answer.failed] == []
    done = Counter(
        (one["kind"], one["id"]) for answer in answers for one in answer.answer["objects"] if one["action"] == "deleted"
    )
    assert done == expected and machine.leftovers() == set()
    assert [left for one in dead for left in gone(one.box)] == [] and not any(one.exists() for one in sockets)
    assert is_whole(live, checksum)
