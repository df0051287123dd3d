# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that die, hang, are full or have no Python: each is named, the others finish, a second run completes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.fleet.sights import (
    AUDIT,
    PRUNE,
    RUNSC,
    SBS,
    Lives,
    changed,
    plan_of,
    rest,
)
from ansible_collections.sandboxed.containers.tests.lab import fleet, processes
from ansible_collections.sandboxed.containers.tests.lab.fleet import Fleet, Member
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

pytestmark = [pytest.mark.real, pytest.mark.long]
PYTHON, AWAY = "/usr/bin/python3", "/usr/bin/away"
LOCK = f"{RUNSC}/lab-fleet-runsc_sandbox:lab-fleet-runsc.lock"
WELL, LOCKED, FULL, BARE, HUNG, DEAD = (f"fleet-{number}" for number in range(1, 7))


class Troubles:
    """What is wrong with each host but the first one, and how it is mended."""

    def __init__(self, hosts: Fleet) -> None:
        self.hosts = hosts.hosts

    def begin(self) -> None:
        lock = self.hosts[LOCKED].path(LOCK).stat()
        self.holder = self.hosts[LOCKED].spawn("flock", LOCK, "sleep", "infinity")
        processes.wait_until(lambda: bool(processes.holds_lock(lock)), "a lock to be held")
        assert self.hosts[FULL].run("dd", "if=/dev/zero", "of=/fill", "bs=64k").code != 0
        self.hosts[BARE].must("mv", PYTHON, AWAY)
        self.hosts[HUNG].must("mv", PYTHON, AWAY)
        self.hosts[HUNG].must("sh", "-c", f"echo '#!/bin/sh\nexec sleep 1000' > {PYTHON}; chmod 755 {PYTHON}")
        self.hosts[HUNG].variables = {"sandbox_audit_timeout": 5, "sandbox_prune_timeout": 5}

    def mend(self) -> None:
        self.holder.close()
        self.hosts[FULL].must("rm", "/fill")
        for name in (BARE, HUNG):
            self.hosts[name].must("mv", AWAY, PYTHON)
        self.hosts[HUNG].end_all("sleep")
        self.hosts[HUNG].variables = {}


def reasons(outcome: Outcome) -> dict[str, str]:
    """What was said of each host."""
    rows = (line.partition(": ") for line in fleet.words(outcome.output)[1:])
    return {name: text for name, colon, text in rows if colon}


@contextmanager
def dying(member: Member, below: int) -> Iterator[None]:
    """A host whose power is cut while it prunes, as soon as fewer sandboxes than that are left."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if len(list(member.path(SBS).iterdir())) < below:
                member.die()
                return
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_an_audit_names_each_host_in_trouble_and_the_next_one_completes_it(start: Callable[[int], Fleet]) -> None:
    hosts = start(6)
    for member in hosts.hosts.values():
        member.put(gvisor=["lab-fleet-runsc"])
    hosts.play(AUDIT)  # its plans are not to survive the next one
    troubles = Troubles(hosts)
    troubles.begin()
    hosts.hosts[DEAD].die()
    audited = hosts.play(AUDIT)
    assert audited.code == 2
    said = reasons(audited)
    assert list(said) == list(hosts.hosts), audited.output
    assert said[WELL] == "1 leftover." and "is held by flock" in said[LOCKED] and said[LOCKED].startswith("1 unknown")
    assert all(said[name].startswith("could not be looked at: ") for name in (FULL, BARE, HUNG, DEAD))
    assert "unreachable" in said[DEAD] and "interpreter" in said[BARE] and "5" in said[HUNG], said
    assert sorted(one.stem for one in hosts.plans.iterdir()) == [WELL, LOCKED]
    assert plan_of(hosts, LOCKED)["plan"]["steps"] == []

    troubles.mend()
    hosts.hosts[DEAD].start()
    hosts.hosts[DEAD].wait()
    again = hosts.play(AUDIT)
    assert again.code == 0
    assert reasons(again) == {name: "1 leftover." for name in hosts.hosts if name != DEAD}
    assert len(list(hosts.plans.iterdir())) == 6


def test_a_prune_names_each_host_in_trouble_and_the_next_one_completes_it(start: Callable[[int], Fleet]) -> None:
    hosts = start(6)
    lives = {name: Lives(member, gvisor=["lab-fleet-runsc"]) for name, member in hosts.hosts.items()}
    many = [f"lab-fleet-{number}" for number in range(300)]
    hosts.hosts[DEAD].put(bare=many)
    assert hosts.play(AUDIT).code == 0
    troubles = Troubles(hosts)
    troubles.begin()
    with dying(hosts.hosts[DEAD], len(many)):
        pruned = hosts.play(PRUNE)
    assert pruned.code == 2
    said = reasons(pruned)
    assert list(said) == list(hosts.hosts), pruned.output
    assert said[WELL] == "1 leftover removed (1 sandbox)."
    assert "1 skipped" in said[LOCKED] and "is held by flock" in said[LOCKED], said[LOCKED]
    assert all(said[name].startswith("failed: ") for name in (FULL, BARE, HUNG, DEAD)), said
    assert "unreachable" in said[DEAD], said[DEAD]
    assert {name for name, counts in fleet.recap(pruned.output).items() if counts["changed"]} == {WELL}

    troubles.mend()
    hosts.hosts[DEAD].start()
    hosts.hosts[DEAD].wait()
    assert changed(hosts.play(PRUNE)) == {LOCKED, FULL, BARE, HUNG}
    assert all(rest(member) == {"lab-fleet-live"} for name, member in hosts.hosts.items() if name != DEAD)
    assert all(one.as_before() for name, one in lives.items() if name != DEAD)
    assert fleet.words(hosts.play(AUDIT).output)[0].startswith("6 hosts: 6 clean")


def test_a_prune_that_is_killed_on_the_host_is_completed_by_the_next_one(start: Callable[[int], Fleet]) -> None:
    hosts = start(2)
    cut, well = hosts.hosts.values()
    many = [f"lab-fleet-{number}" for number in range(300)]
    lives = [Lives(cut, bare=many), Lives(well, bare=many)]
    assert hosts.play(AUDIT).code == 0
    running = hosts.begin(PRUNE)
    processes.wait_until(lambda: len(rest(cut)) < len(many), "the prune to be at work", 60)
    cut.end_all("/usr/bin/python3", "sshd: root")
    output = hosts.end(running)
    left = rest(cut)
    assert output.code == 2 and list(reasons(output)) == list(hosts.hosts), output.output
    assert len(left) > 1, "it was killed too late"
    assert changed(hosts.play(PRUNE)) == {cut.name}
    assert [rest(cut), rest(well)] == [{"lab-fleet-live"}] * 2
    assert changed(hosts.play(AUDIT)) == set() and all(one.as_before() for one in lives)
    assert not [one for one in cut.path(SBS).iterdir() if one.name.startswith(".")], "tombstones"


def test_two_prunes_at_once_do_no_harm(start: Callable[[int], Fleet]) -> None:
    hosts = start(3)
    dead = [f"lab-fleet-dead-{number}" for number in range(10)]
    bare = [f"lab-fleet-{number}" for number in range(100)]
    runsc = [f"lab-fleet-runsc-{number}" for number in range(30)]
    lives = [Lives(member, dead=dead, bare=bare, gvisor=runsc) for member in hosts.hosts.values()]
    assert hosts.play(AUDIT).code == 0
    both = [hosts.begin(PRUNE), hosts.begin(PRUNE, sandbox_prune_scope="all_leftovers")]
    for one in both:
        outcome = hosts.end(one)
        assert outcome.code == 0, outcome.output
    changed(hosts.play(PRUNE, sandbox_prune_scope="all_leftovers"))  # what each left to the other
    assert [rest(member) for member in hosts.hosts.values()] == [{"lab-fleet-live"}] * 3
    assert all(one.as_before() for one in lives)
    assert fleet.words(hosts.play(AUDIT).output)[0].startswith("3 hosts: 3 clean, 0 with leftovers, 0 with")


def test_no_further_batch_after_too_many_failures(start: Callable[[int], Fleet]) -> None:
    hosts = start(3)
    for member in hosts.hosts.values():
        member.put(gvisor=["lab-fleet-runsc", "lab-fleet-runsc-2"])
    hosts.play(AUDIT)
    careful: dict[str, Any] = {"sandbox_prune_serial": 1, "sandbox_prune_max_fail_percentage": 0}
    refused = hosts.play(PRUNE, sandbox_prune_max_removals=1, **careful)
    assert refused.code == 2 and "more than max_removals=1" in reasons(refused)[WELL]
    assert list(fleet.recap(refused.output)) == [WELL], "the others were not begun"
    assert all(len(rest(member)) == 2 for member in hosts.hosts.values())
    assert changed(hosts.play(PRUNE, **careful)) == set(hosts.hosts)
