# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's tree is pruned of what is dead, and of nothing else."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_scan, host_task
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import TASKS, HostTree


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def test_all_that_is_dead_goes(host: HostTree) -> None:
    paths = host.everything()
    checked = host.prune(check_mode=True)
    assert checked.changed and all(path.exists() for path in paths)
    assert checked.msg.startswith("8 leftovers would be removed (1 socket, 1 bundle, 5 sandboxes, 1 mapping).")
    done = host.prune()
    assert done.changed and not done.failed, done.msg
    assert done.msg == "8 leftovers removed (1 socket, 1 bundle, 5 sandboxes, 1 mapping)."
    assert [one["action"] for one in done.value["objects"]] == ["deleted"] * 8
    assert checked.value["diff"] == done.value["diff"]
    assert len(checked.value["plan"]["steps"]) == 8
    assert not any(path.exists() for path in paths) and host.verdicts() == {}
    again = host.prune()
    assert not again.changed and again.msg == "0 leftovers removed."


def test_A1_what_could_not_be_looked_at_is_told(host: HostTree) -> None:
    host.write("run/kata", "no directory")
    for check_mode in (True, False):
        kept = host.prune(check_mode)
        assert not kept.failed and not kept.changed
        (problem,) = kept.value["problems"]
        assert "/run/kata" in problem
        assert kept.msg.startswith("0 leftovers") and kept.msg.endswith(f" Not all could be looked at: {problem}")


def test_A1_a_plan_that_is_not_complete_is_told(host: HostTree) -> None:
    host.kata_persist("hostunit-1")
    plan = host.info(with_plan=True).value["plan"]
    assert "The plan was made" not in host.prune(check_mode=True, plan=plan).msg
    done = host.prune(plan={**plan, "complete": False})
    assert done.changed and done.msg.startswith("1 leftover removed (1 sandbox).")
    assert "The plan was made when not all could be looked at: other leftovers may be there." in done.msg


def test_F2_a_machine_id_that_leads_out_of_the_tree_is_refused_in_words(host: HostTree) -> None:
    """Asked for where a plan is made, which is after the scan."""
    host.kata_persist("hostunit-1")
    host.folder("etc")
    (host.root / "etc/machine-id").symlink_to("/run/machine-id")
    asked = run("sandbox_host_info", {**host.options, "with_plan": True})
    for refused in (asked, host.prune(check_mode=True)):
        assert refused.failed and "etc/machine-id" in refused.msg and "outside of" in refused.msg
    assert host.prune().changed, "without a plan nobody asks for it"


def test_a_plan_of_check_mode_has_no_step_that_the_same_run_skips(host: HostTree) -> None:
    host.gvisor("hostunit-1")
    host.gvisor("hostunit-2")
    found = host_scan.scan
    path = host.root / "run/runsc/hostunit-1_sandbox:hostunit-1.lock"
    with pytest.MonkeyPatch.context() as patch, open(path, encoding="utf-8") as lock:

        def scan(*given: Any) -> host_scan.Scan:
            result = found(*given)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return result

        patch.setattr(host_task, "scan", scan)
        checked = host.prune(check_mode=True)
    actions = {one["id"]: one["action"] for one in checked.value["objects"]}
    assert actions == {"hostunit-1": "skipped", "hostunit-2": "deleted"}, checked.value["objects"]
    assert [step["id"] for step in checked.value["plan"]["steps"]] == ["hostunit-2"]


def test_A2_without_the_assertion_nothing_goes(host: HostTree) -> None:
    host.everything()
    before = host.names()
    kept = host.prune(sees_all_processes=None)
    assert not kept.changed and not kept.failed and host.names() == before
    why = f"host_root {host.root} may be another host's tree (sees_all_processes=true asserts otherwise)"
    assert kept.msg == f"0 leftovers removed. 8 unknown were kept ({why}); sandbox_host_info shows them."


def test_F1_young_ones_are_kept(host: HostTree) -> None:
    host.everything()
    before = host.names()
    kept = host.prune(min_age=600)
    why = "8 unknown were kept (changed less than min_age=600 s ago); sandbox_host_info shows them."
    assert not kept.changed and kept.msg == f"0 leftovers removed. {why}" and host.names() == before


def test_what_no_object_matches_is_told(host: HostTree) -> None:
    host.everything()
    asked: dict[str, Any] = {"kinds": ["sandbox", "bundle"], "patterns": ["xx*"]}
    words = "0 of 8 objects match kinds sandbox, bundle and patterns xx*."
    assert host.info(**asked).msg == words
    assert host.prune(**asked).msg == f"0 leftovers removed. {words}"
    assert host.prune(patterns=["hostunit-1-*"], kinds=["bundle"]).msg == "1 leftover removed (1 bundle)."


def test_F1_what_this_run_makes_and_removes_makes_nothing_young(host: HostTree) -> None:
    """Locks that are missing, sockets that go with bundles, and bundles that go before their sandboxes."""
    host.everything()
    host.gvisor("hostunit-2", lock=False)
    host.kata_store("hostunit-3", lock=False)
    host.kata_persist("hostunit-4")
    host.bundle("hostunit-4", "c" * 64)
    host.bundle("hostunit-4-app", "c" * 64, sandbox="hostunit-4")
    host.socket(f"run/containerd/s/{'c' * 64}")
    host.mapping("hostunit-4-app", "hostunit-4")
    time.sleep(1.1)
    done = host.prune(min_age=1)
    assert {one["action"] for one in done.value["objects"]} == {"deleted"}, done.value["objects"]
    assert host.verdicts() == {}


def test_A3_where_an_engine_runs_and_nothing_lives_the_whole_run_is_refused(
    host: HostTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.everything()
    before = host.names()
    found = host_scan.scan
    monkeypatch.setattr(host_task, "scan", lambda *given: found(*given)._replace(engines=("crio (pid 9)",)))
    plan = host.info(with_plan=True).value["plan"]
    for check_mode, options in ((False, {}), (True, {}), (False, {"plan": plan}), (True, {"plan": plan})):
        refused = host.prune(check_mode, **options)
        assert refused.failed and not refused.changed and host.names() == before
        assert "crio (pid 9) runs here and no live object was found" in refused.msg


def test_a_limit_refuses_the_whole_run(host: HostTree) -> None:
    host.everything()
    before = host.names()
    refused = host.prune(max_removals=7)
    assert refused.failed and "8 objects would be removed, more than max_removals=7" in refused.msg
    assert host.names() == before
    assert host.prune(max_removals=8).changed


def test_C1_a_lock_is_not_waited_for(host: HostTree) -> None:
    """Ours, which containerd's bundles have no other one than."""
    host.gvisor("hostunit-1")
    host.kata_store("hostunit-2")
    locks = [host.root / "run/runsc/hostunit-1_sandbox:hostunit-1.lock", host.root / "run/vc/sbs/hostunit-2/lock"]
    held = [os.open(path, os.O_RDONLY) for path in locks]
    try:
        for one in held:
            fcntl.flock(one, fcntl.LOCK_EX)
        begun = time.monotonic()
        assert set(host.verdicts().values()) == {"unknown"}
        kept = host.prune(lock_timeout=60)
        assert not kept.changed and not kept.failed and time.monotonic() - begun < 5
    finally:
        for one in held:
            os.close(one)
    assert host.prune().changed and host.verdicts() == {}


def test_C1_one_that_is_locked_after_the_scan_is_skipped_with_the_reason(
    host: HostTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = host.gvisor("hostunit-1")
    other = host.gvisor("hostunit-2")
    descriptor = os.open(host.root / "run/runsc/hostunit-1_sandbox:hostunit-1.lock", os.O_RDONLY)
    found = host_scan.scan

    def scan(*given: Any) -> host_scan.Scan:
        result = found(*given)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return result

    monkeypatch.setattr(host_task, "scan", scan)
    try:
        done = host.prune()
    finally:
        os.close(descriptor)
    assert not done.failed and done.msg == "1 leftover removed (1 sandbox). 1 skipped: see msg of each in objects."
    entries = {one["id"]: one for one in done.value["objects"]}
    assert entries["hostunit-1"]["action"] == "skipped" and "lock" in entries["hostunit-1"]["msg"]
    assert state.exists() and not other.exists()


def test_C4_what_changed_after_the_scan_is_kept(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping that somebody filled, a state that somebody wrote anew, a tied bundle that cannot be read any more."""
    mapping, state = host.mapping("hostunit-app-1", "hostunit-1"), host.kata_rs("hostunit-2")
    host.kata_persist("hostunit-3")
    found = host_scan.scan

    def scan(*given: Any) -> host_scan.Scan:
        result = found(*given)
        (mapping / "hostunit-1" / "file").touch()
        (state / "state.json").unlink()
        os.mkfifo(state / "state.json")
        return result

    monkeypatch.setattr(host_task, "scan", scan)
    done = host.prune()
    actions = {one["id"]: one["action"] for one in done.value["objects"]}
    assert actions["hostunit-3"] == "deleted"
    assert actions["hostunit-app-1"] in ("skipped", "failed") and actions["hostunit-2"] == "skipped", done.value[
        "objects"
    ]
    assert (mapping / "hostunit-1/file").exists() and state.exists()


def test_only_the_selected_go(host: HostTree) -> None:
    host.everything("hostunit-1")
    host.kata_rs("hostunitdb-1")
    done = host.prune(patterns=["hostunitdb-*"])
    assert [one["id"] for one in done.value["objects"]] == ["hostunitdb-1"]
    assert [one["id"] for one in host.prune(kinds=["mapping"]).value["objects"]] == ["hostunit-1-m"]
    assert [one["id"] for one in host.prune(layouts=["containerd_v2"]).value["objects"]] == ["hostunit-1-b"]
    assert len(host.verdicts()) == 6


def test_A1_what_is_not_selected_keeps_what_is_tied_to_it_all_the_same(host: HostTree) -> None:
    (host.kata_rs("hostunit-1") / "state.json").unlink()
    os.mkfifo(host.root / "run/kata/hostunit-1/state.json")
    host.mapping("hostunit-app-1", "hostunit-1")
    assert not host.prune(kinds=["mapping"]).changed


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "neither is given"),
        ({"scope": "all_leftovers", "plan": {"schema": 1}}, "both are given"),
        ({"plan": {}}, "it is empty"),
        ({"scope": "everything"}, "scope"),
        ({"scope": "all_leftovers", "kinds": []}, "kinds"),
        ({"scope": "all_leftovers", "patterns": ""}, "patterns: one of them is empty"),
        ({"scope": "all_leftovers", "max_removals": -1}, "max_removals"),
        ({"scope": "all_leftovers", "min_age": -1}, "min_age"),
    ],
    ids=[
        "neither",
        "both",
        "an empty plan",
        "another scope",
        "no kinds",
        "an empty pattern",
        "a negative limit",
        "a negative age",
    ],
)
def test_refused(host: HostTree, options: dict[str, Any], why: str) -> None:
    host.everything()
    before = host.names()
    refused = run("sandbox_prune", {**host.options, **options})
    assert refused.failed and not refused.changed and why in refused.msg
    assert host.names() == before


def test_D2_a_tombstone_of_ours_goes_and_a_hidden_name_stays(host: HostTree) -> None:
    ours = host.write("run/.sbx-del.hostunit-1.0123456789abcdef/state.json", "{}").parent
    mapping = host.folder("run/kata-containers/.sbx-del.hostunit-2.0123456789abcdef/hostunit-1").parent
    host.folder("run/kata-containers/containers-mapping")
    host.folder("run/kata")
    strange = [
        host.write(f"run/kata/{name}/state.json", "{}").parent for name in (".hostunit-1", ".x.0123456789abcdef")
    ]
    host.prune()
    assert not ours.exists() and not mapping.exists() and all(path.exists() for path in strange)


def test_a_failure_on_one_does_not_stop_the_others(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    host.everything()
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import WriteFailed
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import ContainerMapping

    def broken(*_given: object) -> None:
        raise WriteFailed("/x", "no space is left", "Make room.")

    monkeypatch.setattr(ContainerMapping, "apply", broken)
    done = host.prune()
    assert done.failed and "no space is left" in done.msg and "7 leftovers removed" in done.msg
    assert sorted(one["action"] for one in done.value["objects"]) == ["deleted"] * 7 + ["failed"]
    assert set(host.verdicts()) == {"mapping hostunit-1-m"}


def test_D2_a_hidden_bundle_that_may_be_two_is_shown_and_removed_once(host: HostTree) -> None:
    """Ours of hostunit-1, or containerd's own of a container with such an odd name."""
    rest = host.write(f"{TASKS}/.hostunit-1.0123456789abcdef/config.json", "{}").parent
    assert host.verdicts() == {"bundle hostunit-1": "leftover"}
    checked, done = host.prune(check_mode=True), host.prune()
    assert checked.value["objects"] == done.value["objects"] and len(done.value["objects"]) == 1
    assert not rest.exists()


def test_what_is_told_of_a_removed_object_is_what_it_was(host: HostTree) -> None:
    """A tied one is looked at once more when it is gone already."""
    for name in ("hostunit-1", "hostunit-1-app"):
        host.bundle(name, sandbox="hostunit-1")
        host.mapping(name, "hostunit-1")
    host.kata_persist("hostunit-1")
    checked, done = host.prune(check_mode=True), host.prune()
    assert checked.value["objects"] == done.value["objects"] and len(done.value["objects"]) == 5
    assert all(step["identity"] for step in checked.value["plan"]["steps"])
