# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

SECRET = "hunter2-of-nobody"
BASE = {"layout": "gvisor", "sees_all_processes": True, "lock_timeout": 0.2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def call(root: Path, check_mode: bool = False, **options: Any) -> Result:
    return run("sandbox_state", {**BASE, "run_root": str(root), **options}, check_mode)


def document(name: str = "unit-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "status": "stopped", "bundleDir": "/srv/b", "sandbox": {"id": name, "pid": 0}, **more}


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.iterdir() if path.is_file()}


def make(root: Path, name: str = "unit-1", content: bytes | None = None, lock: bool = True) -> None:
    data = json.dumps(document(name), separators=(",", ":")).encode() if content is None else content
    (root / f"{name}_sandbox:{name}.state").write_bytes(data)
    if lock:
        (root / f"{name}_sandbox:{name}.lock").touch(mode=0o600)


CREATE: dict[str, Any] = {"sandbox_id": "unit-1", "documents": {"state": document()}}
UPDATE: dict[str, Any] = {"sandbox_id": "unit-1", "documents": {"state": document(status="created")}}
ABSENT: dict[str, Any] = {"sandbox_id": "unit-1", "state": "absent"}


def nothing(root: Path) -> None:
    assert root.is_dir()


def two(root: Path) -> None:
    make(root, "unit-1")
    make(root, "unit-2")


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


@pytest.mark.parametrize("layout", ["gvisor", "gvisor_legacy"])
def test_G7_only_the_exact_name_is_removed(root: Path, layout: str) -> None:
    ending = "_sandbox:{}" if layout == "gvisor" else ""
    for name in ("foo", "foobar", "xfoo"):
        (root / f"{name}{ending.format(name)}.state").write_text("{}")
    result = call(root, sandbox_id="foo", state="absent", layout=layout)
    assert result.actions == ["deleted"]
    assert sorted(os.listdir(root)) == sorted(f"{name}{ending.format(name)}.state" for name in ("foobar", "xfoo"))


def test_one_container_of_a_pod_is_removed_alone(root: Path) -> None:
    for container_id in ("pod-1", "ctr-1", "ctr-2"):
        (root / f"{container_id}_sandbox:pod-1.state").write_text(
            json.dumps(document(container_id, sandbox={"id": "pod-1"}))
        )
        (root / f"{container_id}_sandbox:pod-1.lock").touch()
    result = call(root, sandbox_id="pod-1", container_id="ctr-1", state="absent")
    assert result.actions == ["deleted"] and result.value["sandboxes"][0]["container_id"] == "ctr-1"
    left = {name.partition("_")[0] for name in os.listdir(root)}
    assert left == {"pod-1", "ctr-2"}
    assert call(root, sandbox_id="pod-1", state="absent").actions == ["deleted"]
    assert os.listdir(root) == []


def test_legacy_another_sandboxs_state_is_never_overwritten(root: Path) -> None:
    """The file name of the old generation has no sandbox in it: pod-a's container could be taken for pod-b's."""
    text = json.dumps(document("ctr-1", sandbox={"id": "pod-a"}))
    (root / "ctr-1.state").write_text(text)
    wishes: list[dict[str, Any]] = [
        {
            "sandbox_id": "pod-b",
            "container_id": "ctr-1",
            "documents": {"state": document("ctr-1", sandbox={"id": "pod-b"})},
        },
        {"sandbox_id": "ctr-1", "documents": {"state": document("ctr-1")}},
    ]
    for wish in wishes:
        for check_mode in (True, False):
            result = call(root, check_mode, layout="gvisor_legacy", **wish)
            assert result.failed and "ctr-1.state" in result.msg
    assert (root / "ctr-1.state").read_text() == text and os.listdir(root) == ["ctr-1.state"]


def test_legacy_a_container_is_created_once(root: Path) -> None:
    wish: dict[str, Any] = {"sandbox_id": "pod-1", "container_id": "ctr-1", "layout": "gvisor_legacy"}
    assert call(root, **wish, documents={"state": {"id": "ctr-1"}}).failed
    wish["documents"] = {"state": document("ctr-1", sandbox={"id": "pod-1"})}
    assert call(root, **wish).actions == ["created"]
    assert call(root, **wish).actions == ["unchanged"]
    assert sorted(os.listdir(root)) == ["ctr-1.lock", "ctr-1.state"]


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
def test_A2_what_is_not_seen_is_kept_unless_forced(root: Path, check_mode: bool) -> None:
    make(root)
    before = snapshot(root)
    result = call(root, check_mode, **ABSENT, sees_all_processes=False)
    assert result.failed and "it may still have an owner" in result.msg and "force=true" in result.msg
    assert snapshot(root) == before
    assert call(root, check_mode, **ABSENT, sees_all_processes=False, force=True).actions == ["deleted"]


def test_A2_another_hosts_tree_is_unknown_unless_asserted(tmp_path: Path) -> None:
    root = tmp_path / "var" / "run" / "runsc"
    root.mkdir(parents=True)
    make(root)
    options = {**BASE, **ABSENT, "host_root": str(tmp_path), "sees_all_processes": None}
    result = run("sandbox_state", {key: value for key, value in options.items() if value is not None})
    assert result.failed and f"host_root {tmp_path} may be another host's tree" in result.msg
    assert run("sandbox_state", {**options, "sees_all_processes": True}).actions == ["deleted"]
    assert os.listdir(root) == []


def test_an_unreadable_state_is_unknown_and_force_cannot_make_it_a_file(root: Path) -> None:
    (root / "unit-1_sandbox:unit-1.state").mkdir()
    for options in (ABSENT, {**ABSENT, "force": True}, CREATE, {**CREATE, "force": True}):
        result = call(root, **options)
        assert result.failed and "unit-1" in result.msg
        assert (root / "unit-1_sandbox:unit-1.state").is_dir()
    assert "is not a plain file" in call(root, **ABSENT).msg


def test_a_refused_change_leaves_no_lock_behind(root: Path) -> None:
    """A lock is made only to be held (G3)."""
    make(root, lock=False)
    for options in ({**ABSENT, "sees_all_processes": False}, {**CREATE, "fail_if_exists": True}):
        assert call(root, **options).failed
        assert os.listdir(root) == ["unit-1_sandbox:unit-1.state"]


def image_with(tmp_path: Path, live: Path) -> Path:
    """An offline image whose /var/run is an absolute link, as everywhere, and whose state names a live place's path."""
    image = tmp_path / "image"
    (image / "var").mkdir(parents=True)
    (image / "run" / "runsc").mkdir(parents=True)
    (image / "var" / "run").symlink_to("/run")
    (Path(f"{image}{live}") / "rootfs").mkdir(parents=True)
    (live / "rootfs").mkdir(parents=True)
    for bundle in (live, Path(f"{image}{live}")):
        (bundle / "rootfs" / ".gvisor.filestore.unit-1").write_text(str(bundle))
    content = document(bundleDir=str(live), spec={"root": {"path": f"{live}/rootfs"}})
    make(image / "run" / "runsc", content=json.dumps(content).encode())
    return image


def test_promise_5_an_image_is_cleaned_and_the_live_host_is_left_alone(tmp_path: Path) -> None:
    live = tmp_path / "live"
    image = image_with(tmp_path, live)
    result = run("sandbox_state", {**BASE, **ABSENT, "host_root": str(image)})
    assert result.actions == ["deleted"], result.msg
    assert (live / "rootfs" / ".gvisor.filestore.unit-1").read_text() == str(live)
    assert not Path(f"{image}{live}/rootfs/.gvisor.filestore.unit-1").exists()
    assert os.listdir(image / "run" / "runsc") == []


def test_promise_5_a_link_that_leads_out_of_the_image_is_refused(tmp_path: Path) -> None:
    make_in = tmp_path / "outside" / "runsc"
    make_in.mkdir(parents=True)
    make(make_in)
    image = tmp_path / "image"
    (image / "var").mkdir(parents=True)
    (image / "var" / "run").symlink_to("../../outside")
    result = run("sandbox_state", {**BASE, **ABSENT, "host_root": str(image)})
    assert result.failed and "leads out of" in result.msg
    assert len(os.listdir(make_in)) == 2


def test_a_missing_image_is_no_empty_host(tmp_path: Path) -> None:
    result = run("sandbox_state", {**BASE, **ABSENT, "host_root": str(tmp_path / "none")})
    assert result.failed and "must be an existing directory" in result.msg


def test_a_listener_on_its_socket_keeps_a_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root)
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("runsc-unit-1.sock")
        listener.listen()
        result = call(root, **ABSENT)
        assert result.failed and "runsc-unit-1.sock" in result.msg
        assert len(os.listdir(root)) == 3


def test_a_stale_socket_goes_with_its_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: without it, not every network namespace can be asked")
    make(root)
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind("runsc-unit-1.sock")
    assert call(root, **ABSENT).actions == ["deleted"]
    assert os.listdir(root) == []


def test_nothing_else_in_the_root_directory_is_touched(root: Path) -> None:
    make(root)
    others = [
        "runsc-unit-11.sock",
        "unit-1.state",
        "unit-1_sandbox:unit-2.state",
        "unit-1_sandbox:unit-1.state.bak",
        "x.log",
    ]
    for name in others:
        (root / name).write_text("keep")
    assert call(root, **ABSENT).actions == ["deleted"]
    assert sorted(os.listdir(root)) == sorted(others)
