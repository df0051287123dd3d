# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_sandbox_state_gvisor import (
    ABSENT,
    CREATE,
    SECRET,
    UPDATE,
    call,
    document,
    make,
    root,
    snapshot,
)

__all__ = ["root"]


def nothing(root: Path) -> None:
    assert root.is_dir()


def two(root: Path) -> None:
    make(root, "unit-1")
    make(root, "unit-2")


def pod(root: Path) -> None:
    make(root, "unit-1")
    (root / "ctr-1_sandbox:unit-1.state").write_text(json.dumps(document("ctr-1", sandbox={"id": "unit-1"})))
    (root / "ctr-1_sandbox:unit-1.lock").touch()


CASES: dict[str, Any] = {
    "create": (nothing, CREATE, ["created"]),
    "create where a stray lock is": (lambda root: (root / "unit-1_sandbox:unit-1.lock").touch(), CREATE, ["created"]),
    "update": (make, UPDATE, ["updated"]),
    "repair": (lambda root: make(root, content=b'{"id":"we'), CREATE, ["updated"]),
    "add a missing lock": (lambda root: make(root, lock=False), CREATE, ["updated"]),
    "unchanged": (make, CREATE, ["unchanged"]),
    "unchanged without documents": (make, {"sandbox_id": "unit-1"}, ["unchanged"]),
    "delete": (make, ABSENT, ["deleted"]),
    "delete a corrupt state": (lambda root: make(root, content=b""), ABSENT, ["deleted"]),
    "delete a state without a lock": (lambda root: make(root, lock=False), ABSENT, ["deleted"]),
    "delete a lock alone": (lambda root: (root / "unit-1_sandbox:unit-1.lock").touch(), ABSENT, ["deleted"]),
    "delete a temporary": (lambda root: (root / ".unit-1_sandbox:unit-1.state.sbx-tmp").touch(), ABSENT, ["deleted"]),
    "absent of nothing": (nothing, ABSENT, ["unchanged"]),
    "a list": (make, {**ABSENT, "sandbox_id": ["unit-1", "unit-2"]}, ["deleted", "unchanged"]),
    "a text with commas": (two, {**ABSENT, "sandbox_id": "unit-2, unit-1"}, ["deleted", "deleted"]),
    "an empty list": (two, {**ABSENT, "sandbox_id": []}, []),
    "entries": (
        make,
        {"sandboxes": [CREATE, {"sandbox_id": "unit-2", "documents": {"state": document("unit-2")}}]},
        ["unchanged", "created"],
    ),
    "a pod, and one of its containers": (
        pod,
        {"sandboxes": [{"sandbox_id": "unit-1"}, {"sandbox_id": "unit-1", "container_id": "ctr-1"}], "state": "absent"},
        ["deleted", "deleted"],
    ),
    "no entries": (two, {"sandboxes": []}, []),
    "no entries, absent": (two, {"sandboxes": [], "state": "absent"}, []),
    "a new container in a pod": (
        make,
        {
            "sandbox_id": "unit-1",
            "container_id": "ctr-1",
            "documents": {"state": document("ctr-1", sandbox={"id": "unit-1"})},
        },
        ["created"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_promise_1_check_mode_tells_what_the_run_does_and_a_second_run_does_nothing(root: Path, case: str) -> None:
    prepare, options, actions = CASES[case]
    prepare(root)
    before = snapshot(root)
    told = call(root, True, **options)
    assert snapshot(root) == before, "check mode changes nothing"
    done = call(root, **options)
    again = call(root, **options)
    assert not (told.failed or done.failed or again.failed), (told.msg, done.msg, again.msg)
    assert done.actions == actions
    for key in ("changed", "diff", "sandboxes"):
        assert told.value[key] == done.value[key], key
    assert done.value["changed"] is (set(actions) - {"unchanged"} != set())
    assert bool(done.value["diff"]) is done.value["changed"]
    assert (again.value["changed"], again.value["diff"], set(again.actions) - {"unchanged"}) == (False, [], set())
    if not done.value["changed"]:
        assert snapshot(root) == before
    assert call(root, True, **options).value["changed"] is False


def test_a_created_sandbox_is_what_runsc_writes(root: Path) -> None:
    before = os.umask(0o077)
    try:
        result = call(root, **CREATE, durable=False)
    finally:
        os.umask(before)
    state, lock = root / "unit-1_sandbox:unit-1.state", root / "unit-1_sandbox:unit-1.lock"
    assert state.read_bytes() == json.dumps(document(), separators=(",", ":")).encode()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, lock)] == [0o640, 0o600]
    assert lock.stat().st_size == 0 and len(os.listdir(root)) == 2
    entry = result.value["sandboxes"][0]
    assert (entry["sandbox_id"], entry["layout"], "container_id" in entry) == ("unit-1", "gvisor", False)
    assert str(state) in entry["paths"]
    assert "results" not in result.value and "path" not in result.value


def test_the_root_directory_is_made_with_runscs_mode_only_when_something_is_created(tmp_path: Path) -> None:
    root = tmp_path / "new" / "runsc"
    assert call(root, **ABSENT).actions == ["unchanged"]
    assert call(root, True, **CREATE).actions == ["created"]
    assert not (tmp_path / "new").exists()
    assert call(root, **CREATE).actions == ["created"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o711


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("delete")])
def test_promise_1_the_diff_of_a_delete_shows_what_is_there_and_nothing_else(root: Path, case: str) -> None:
    """A lock that is missing is made to be held, and goes with the state: nobody sees it before or after."""
    prepare, options, _actions = CASES[case]
    prepare(root)
    there = sorted(str(path) for path in root.iterdir())
    (diff,) = call(root, True, **options).value["diff"]
    assert sorted(line.split()[1] for line in diff["before"].splitlines()) == there and diff["after"] == ""
    assert call(root, **options).actions == ["deleted"] and os.listdir(root) == []


def test_the_diff_shows_the_document_before_and_after(root: Path) -> None:
    make(root)
    (diff,) = call(root, True, **UPDATE).value["diff"]
    assert '"status": "stopped"' in diff["before"] and '"status": "created"' in diff["after"]
    assert diff["before_header"] == diff["after_header"] == str(root / "unit-1_sandbox:unit-1.state")


def test_a_document_that_means_the_same_is_not_rewritten(root: Path) -> None:
    text = json.dumps(document(), indent=2, sort_keys=True).encode() + b"\n"
    make(root, content=text)
    assert call(root, **CREATE).value["changed"] is False
    assert (root / "unit-1_sandbox:unit-1.state").read_bytes() == text


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
def test_fail_if_exists(root: Path, check_mode: bool) -> None:
    make(root)
    before = snapshot(root)
    result = call(root, check_mode, **CREATE, fail_if_exists=True)
    assert result.failed and "Sandbox 'unit-1' (gvisor): it exists already" in result.msg
    assert result.value["changed"] is False and snapshot(root) == before
    (root / "unit-1_sandbox:unit-1.state").unlink()
    assert call(root, check_mode, **CREATE, fail_if_exists=True).actions == ["created"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"sandbox_id": "unit-1", "documents": {"state": document("unit-2")}},
            "its id is 'unit-2', and it is for 'unit-1'",
        ),
        (
            {"sandbox_id": "unit-1", "documents": {"state": {"id": "unit-1", "sandbox": {"id": "x"}}}},
            "its sandbox.id is 'x', and it is for 'unit-1'",
        ),
        ({"sandbox_id": "unit-1"}, "it does not exist, and there is nothing to make it from. Give documents.state."),
        ({"sandbox_id": "web_", "documents": {"state": {}}}, "cannot be the name of something new"),
        ({"sandbox_id": "a" * 77, "documents": {"state": {}}}, "(77 bytes)"),
    ],
    ids=["id", "sandbox.id", "no document", "name", "long name"],
)
@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
def test_what_cannot_be_created_leaves_nothing(root: Path, options: dict[str, Any], why: str, check_mode: bool) -> None:
    result = call(root, check_mode, **options)
    assert result.failed and why in result.msg and f"Sandbox '{options['sandbox_id']}' (gvisor)" in result.msg
    assert result.actions == ["failed"] and os.listdir(root) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "Give sandbox_id, or a list of entries as sandboxes"),
        ({"sandbox_id": 83}, "Quote it"),
        ({"sandbox_id": ["a", True]}, "Quote it"),
        ({"sandbox_id": "a", "container_id": 7}, "container_id: 7 is a number"),
        ({"sandboxes": [{"sandbox_id": "ab"}, {"sandbox_id": 12}]}, "sandboxes[1].sandbox_id: 12 is a number"),
        ({"sandbox_id": ["a", "b"]}, "several ids share everything only with state=absent"),
        ({"sandbox_id": "a,b"}, "several ids share everything only with state=absent"),
        ({"sandbox_id": ["a", "b"], "container_id": "c", "state": "absent"}, "several ids"),
        ({"sandbox_id": "", "state": "absent"}, "'' is not a name"),
        ({"sandbox_id": [""], "state": "absent"}, "'' is not a name"),
        ({"sandbox_id": "../x", "state": "absent"}, "'../x' is not a name"),
        ({"sandbox_id": "a", "container_id": "", "state": "absent"}, "'' is not a name"),
        ({"sandbox_id": ["a", "a"], "state": "absent"}, "'a' is given twice"),
        ({"sandboxes": [{"sandbox_id": "a"}, {"sandbox_id": "a"}]}, "'a' is there twice"),
        ({"sandboxes": [{"sandbox_id": "a"}, {"sandbox_id": "a", "container_id": "a"}]}, "'a' is there twice"),
        ({"sandbox_id": "a", "documents": {"state": {}}, "state": "absent"}, "nothing to write with state=absent"),
        ({"sandbox_id": "a*", "state": "absent"}, "only letters, digits"),
        ({"sandbox_id": "a", "sandboxes": []}, "mutually exclusive"),
        ({"sandbox_id": "a", "documents": {"config": {}}}, "config"),
        ({"sandbox_id": "a", "layout": "kata"}, "layout"),
        ({"sandbox_id": "a", "lock_timeout": "soon"}, "lock_timeout"),
        ({"sandbox_id": "ab", "state": "absent", "lock_timeout": float("inf")}, "no number of seconds"),
        ({"sandbox_id": "ab", "state": "absent", "lock_timeout": -1}, "no number of seconds"),
        ({"sandbox_id": "a" * 121, "state": "absent"}, "a file name would have 257 bytes"),
    ],
)
def test_options_that_cannot_be_used(root: Path, options: dict[str, Any], why: str) -> None:
    two(root)
    before = snapshot(root)
    result = call(root, **options)
    assert result.failed and why in result.msg
    assert "sandboxes" not in result.value and snapshot(root) == before


def with_secrets(name: str = "unit-1") -> dict[str, Any]:
    process = {"env": [f"DB={SECRET}"], "args": ["run", f"--password={SECRET}", "--token", SECRET]}
    return document(name, spec={"process": process, "annotations": {"api_key": SECRET}})


@pytest.mark.parametrize(
    "options",
    [
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets()}},
        {"sandboxes": [{"sandbox_id": "unit-1", "documents": {"state": with_secrets()}}]},
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets("other")}},
        {"sandbox_id": 12, "documents": {"state": with_secrets()}},
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets()}, "unknown_option": 1},
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets()}, "layout": "none"},
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets()}, "sandboxes": []},
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets(), "other": with_secrets()}},
        {"sandbox_id": "unit-1", "documents": {"state": with_secrets()}, "host_root": "/none/at/all", "run_root": None},
    ],
    ids=[
        "flat",
        "entries",
        "wrong id",
        "number",
        "unknown option",
        "wrong choice",
        "exclusive",
        "unknown document",
        "host",
    ],
)
@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
def test_promise_8_secrets_never_leave(root: Path, options: dict[str, Any], check_mode: bool) -> None:
    """Neither in the result, the diff and the invocation, nor in the system's log; also when the task is refused."""
    result = call(root, check_mode, **options)
    assert SECRET not in result.text
    assert SECRET not in result.logged
    assert "module_args" in result.value["invocation"]
    if not result.failed:
        assert "unit-1" in result.logged, "there is a log line to look at"
        assert "********" in json.dumps(result.value["diff"])


def test_promise_8_a_change_of_a_secret_is_told_without_it(root: Path) -> None:
    make(root, content=json.dumps(with_secrets()).encode())
    wanted = json.loads(json.dumps(with_secrets()).replace(f"DB={SECRET}", "DB=changed-value"))
    result = call(root, sandbox_id="unit-1", documents={"state": wanted})
    (diff,) = result.value["diff"]
    assert diff["before"] != diff["after"] and "(changed)" in diff["after"]
    assert SECRET not in result.text and "changed-value" not in result.text
    assert "changed-value" in (root / "unit-1_sandbox:unit-1.state").read_text()


def test_promise_8_what_is_removed_is_not_shown(root: Path) -> None:
    make(root, content=json.dumps(with_secrets()).encode())
    result = call(root, **ABSENT)
    assert result.actions == ["deleted"] and SECRET not in result.text + result.logged


@pytest.mark.parametrize(("count", "diffs"), [(100, 100), (101, 1)])
def test_above_100_items_the_diff_is_one_listing(root: Path, count: int, diffs: int) -> None:
    names = [f"unit-{number}" for number in range(count)]
    for name in names:
        make(root, name)
    told = call(root, True, sandbox_id=names, state="absent", durable=False)
    done = call(root, sandbox_id=names, state="absent", durable=False)
    assert told.value["diff"] == done.value["diff"] and len(done.value["diff"]) == diffs
    assert done.value["diff"][-1]["before"].count(".state\n") == (1 if diffs > 1 else count)
    assert os.listdir(root) == []


def test_failures_are_counted_the_first_five_named_and_the_others_are_done(root: Path) -> None:
    for number in range(10):
        make(root, f"unit-{number}")
    stuck = [f"unit-{number}" for number in range(2, 9)]
    for name in stuck:
        (root / f"{name}_sandbox:{name}.lock").unlink()
        (root / f"{name}_sandbox:{name}.lock").mkdir()
    result = call(root, sandbox_id=[f"unit-{number}" for number in range(10)], state="absent")
    assert result.failed and result.value["changed"] is True
    assert result.msg.startswith("7 of 10 sandboxes failed, 3 changed. ")
    assert [f"Sandbox 'unit-{number}' (gvisor): " in result.msg for number in range(10)] == [False] * 2 + [True] * 5 + [
        False
    ] * 3
    assert result.msg.endswith("And 2 more: see sandboxes in the result.")
    assert result.actions == ["deleted"] * 2 + ["failed"] * 7 + ["deleted"]
    assert [name for name in stuck if not (root / f"{name}_sandbox:{name}.state").exists()] == []
    assert all(entry["msg"] for entry in result.value["sandboxes"] if entry["action"] == "failed")


def test_a_locked_sandbox_does_not_stop_the_others(root: Path) -> None:
    two(root)
    descriptor = os.open(root / "unit-1_sandbox:unit-1.lock", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        result = call(root, sandbox_id=["unit-1", "unit-2"], state="absent")
    finally:
        os.close(descriptor)
    assert result.actions == ["failed", "deleted"] and "is held" in result.msg
    assert sorted(os.listdir(root)) == ["unit-1_sandbox:unit-1.lock", "unit-1_sandbox:unit-1.state"]
