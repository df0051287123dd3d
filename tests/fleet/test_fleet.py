# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet is audited, the plans are reviewed, and what they name goes on each host, and nothing else."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.fleet.sights import AUDIT, PRUNE, Lives, changed, plan_of, rest
from ansible_collections.sandboxed.containers.tests.lab import fleet
from ansible_collections.sandboxed.containers.tests.lab.fleet import Fleet

pytestmark = pytest.mark.real
FEW = 5  # hosts in the short run


@pytest.mark.parametrize("count", [FEW, pytest.param(20, marks=pytest.mark.long)])
def test_audit_review_prune(start: Callable[[int], Fleet], count: int) -> None:
    hosts = start(count)
    names = list(hosts.hosts)
    crashed = names[::2]
    dead = {"dead": ["lab-fleet-dead"], "gvisor": ["lab-fleet-runsc"]}
    lives = [Lives(member, **(dead if name in crashed else {})) for name, member in hosts.hosts.items()]

    audited = hosts.play(AUDIT)
    assert changed(audited) == set()
    head, *lines = fleet.words(audited.output)
    clean = count - len(crashed)
    assert head == f"{count} hosts: {clean} clean, {len(crashed)} with leftovers, 0 with something unknown."
    assert lines[:-1] == [f"{name}: 3 leftovers." for name in crashed]
    for name in names:
        assert stat.S_IMODE((hosts.plans / f"{name}.json").stat().st_mode) == 0o600
        assert len(plan_of(hosts, name)["plan"]["steps"]) == (3 if name in crashed else 0)

    kept, without = crashed[0], crashed[1]
    reviewed = plan_of(hosts, kept)
    reviewed["plan"]["steps"] = [step for step in reviewed["plan"]["steps"] if step["id"] != "lab-fleet-runsc"]
    (hosts.plans / f"{kept}.json").write_text(json.dumps(reviewed), encoding="utf-8")
    (hosts.plans / f"{without}.json").unlink()
    pruned = hosts.play(PRUNE)
    assert changed(pruned) == set(crashed) - {without}
    said = fleet.words(pruned.output)
    assert f"{without}: it has no plan in {hosts.plans}, so it was not touched. Audit it first." in said
    assert f"{kept}: 2 leftovers removed (1 bundle, 1 sandbox)." in said
    live = {"lab-fleet-live"}
    wanted = {kept: live | {"lab-fleet-runsc"}, without: live | {"lab-fleet-dead", "lab-fleet-runsc"}}
    assert {name: rest(member) for name, member in hosts.hosts.items()} == {one: wanted.get(one, live) for one in names}

    assert changed(hosts.play(PRUNE)) == set(), "the same plans once more"
    again = hosts.play(AUDIT)
    assert fleet.words(again.output)[1:-1] == [f"{kept}: 1 leftover.", f"{without}: 3 leftovers."]
    if count > FEW:
        assert changed(hosts.play(PRUNE)) == {kept, without}
        last = fleet.words(hosts.play(AUDIT).output)
        assert last[0] == f"{count} hosts: {count} clean, 0 with leftovers, 0 with something unknown."
        assert len(last) == 2
    assert all(one.as_before() for one in lives)


@pytest.mark.long
def test_without_a_plan_nothing_goes_unless_all_leftovers_are_asked_for(start: Callable[[int], Fleet]) -> None:
    hosts = start(2)
    lives = [Lives(member, gvisor=["lab-fleet-runsc"]) for member in hosts.hosts.values()]
    unasked = hosts.play(PRUNE)
    assert changed(unasked) == set()
    assert [line.partition(", so")[0] for line in fleet.words(unasked.output)[1:]] == [
        f"{name}: it has no plan in {hosts.plans}" for name in hosts.hosts
    ]
    limited = hosts.play(PRUNE, sandbox_prune_scope="all_leftovers", sandbox_prune_patterns="lab-other-*")
    assert changed(limited) == set()
    assert changed(hosts.play(PRUNE, "--check", sandbox_prune_scope="all_leftovers")) == set(hosts.hosts)
    assert all("lab-fleet-runsc" in rest(member) for member in hosts.hosts.values())
    assert changed(hosts.play(PRUNE, sandbox_prune_scope="all_leftovers")) == set(hosts.hosts)
    assert all(rest(member) == {"lab-fleet-live"} for member in hosts.hosts.values())
    assert all(one.as_before() for one in lives)


@pytest.mark.long
def test_a_playbook_of_the_operator_imports_them(start: Callable[[int], Fleet], tmp_path: Path) -> None:
    hosts = start(2)
    hosts.hosts["fleet-1"].put(gvisor=["lab-fleet-runsc", "lab-fleet-other"])
    local = tmp_path / "local.yml"
    local.write_text(f"- import_playbook: {AUDIT}\n- import_playbook: {PRUNE}\n", encoding="ascii")
    assert changed(hosts.play(str(local), "--check")) == set()  # no plan is written, so none is taken
    assert not hosts.plans.exists()
    local.write_text(f"- import_playbook: {PRUNE}\n  vars:\n    sandbox_prune_scope: all_leftovers\n", encoding="ascii")
    assert changed(hosts.play(str(local), sandbox_prune_patterns="*-other")) == {"fleet-1"}
    assert rest(hosts.hosts["fleet-1"]) == {"lab-fleet-runsc"}
    hosts.play(AUDIT)
    hosts.hosts["fleet-2"].die()  # nothing is to be done there, so nobody needs to know
    assert changed(hosts.play(PRUNE)) == {"fleet-1"}
    assert rest(hosts.hosts["fleet-1"]) == set()


@pytest.mark.long
def test_a_host_whose_state_directories_are_full_is_pruned(start: Callable[[int], Fleet]) -> None:
    hosts = start(1)
    member = hosts.hosts["fleet-1"]
    lives = Lives(member, dead=["lab-fleet-dead"], gvisor=["lab-fleet-runsc"])
    for folder in ("/run", "/var/lib"):
        assert member.run("dd", "if=/dev/zero", f"of={folder}/fill", "bs=4k").code != 0
    hosts.play(AUDIT)
    assert changed(hosts.play(PRUNE)) == {"fleet-1"}
    assert rest(member) == {"lab-fleet-live"} and lives.as_before()


@pytest.mark.long
def test_a_plan_that_is_none_or_of_another_host_removes_nothing(start: Callable[[int], Fleet]) -> None:
    hosts = start(4)
    for member in hosts.hosts.values():
        member.put(gvisor=["lab-fleet-runsc"])
    hosts.play(AUDIT)
    torn, other, empty, good = (hosts.plans / f"{name}.json" for name in hosts.hosts)
    torn.write_text(torn.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    other.write_bytes(good.read_bytes())
    empty.write_text("{}", encoding="utf-8")
    pruned = hosts.play(PRUNE)
    assert pruned.code == 2
    said = fleet.words(pruned.output)
    assert said[0] == "4 hosts: leftovers were removed on 1, nothing was to be done on 0, 3 failed."
    assert [line.partition(":")[0] for line in said[1:]] == list(hosts.hosts)
    assert "was made for machine_id" in said[2]
    assert [bool(rest(member)) for member in hosts.hosts.values()] == [True, True, True, False]
