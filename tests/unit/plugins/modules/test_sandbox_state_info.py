# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

SECRET = "hunter2-of-nobody"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def call(root: Path, check_mode: bool = False, **options: Any) -> Result:
    base = {"layout": "gvisor", "sees_all_processes": True, "lock_timeout": 0.2, "run_root": str(root)}
    return run("sandbox_state_info", {**base, **options}, check_mode)


def make(root: Path, name: str, sandbox_id: str = "", content: bytes | None = None, **more: Any) -> None:
    document = {"id": name, "sandbox": {"id": sandbox_id or name, "pid": 0}, **more}
    data = json.dumps(document).encode() if content is None else content
    (root / f"{name}_sandbox:{sandbox_id or name}.state").write_bytes(data)
    (root / f"{name}_sandbox:{sandbox_id or name}.lock").touch()


def ids(result: Result) -> list[str]:
    return [entry["sandbox_id"] for entry in result.value["sandboxes"]]


def test_all_sandboxes_sorted_by_name(root: Path) -> None:
    for name in ("b", "a", "c"):
        make(root, name)
    result = call(root)
    assert ids(result) == ["a", "b", "c"] and result.value["changed"] is False
    assert result.msg.startswith("3 sandboxes: 3 leftover.")


def test_given_names_in_their_order_and_what_is_not_there(root: Path) -> None:
    for name in ("a", "b"):
        make(root, name)
    result = call(root, sandbox_id=["b", "none", "a"])
    assert ids(result) == ["b", "none", "a"]
    assert [entry["exists"] for entry in result.value["sandboxes"]] == [True, False, True]
    assert "verdict" not in result.value["sandboxes"][1] and "1 not there" in result.msg


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"sandbox_id": []}, []), ({"sandbox_id": "a, b"}, ["a", "b"]), ({"sandbox_id": "a"}, ["a"]), ({}, ["a", "b"])],
    ids=["an empty list is none", "commas", "one", "omitted is all"],
)
def test_selection(root: Path, options: dict[str, Any], wanted: list[str]) -> None:
    make(root, "a")
    make(root, "b")
    assert ids(call(root, **options)) == wanted


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"container_id": "c"}, "Give sandbox_id as well"),
        ({"sandbox_id": ["a", "b"], "container_id": "c"}, "2 are given"),
        ({"sandbox_id": [], "container_id": "c"}, "0 are given"),
        ({"sandbox_id": 12}, "Quote it"),
        ({"sandbox_id": ""}, "'' is not a name"),
        ({"sandbox_id": "a/b"}, "'a/b' is not a name"),
        ({"sandbox_id": "a", "container_id": ".."}, "'..' is not a name"),
    ],
)
def test_options_that_cannot_be_used(root: Path, options: dict[str, Any], why: str) -> None:
    result = call(root, **options)
    assert result.failed and why in result.msg


def test_one_entry_says_all(root: Path) -> None:
    make(root, "unit-1", status="running")
    (entry,) = call(root).value["sandboxes"]
    paths = [f"{root}/unit-1_sandbox:unit-1.state", f"{root}/unit-1_sandbox:unit-1.lock"]
    assert (entry["exists"], entry["verdict"], entry["paths"], entry["layout"]) == (True, "leftover", paths, "gvisor")
    assert entry["size"] == os.stat(paths[0]).st_size and 0 <= entry["age"] < 60
    assert entry["containers"] == [{"container_id": "unit-1"}]
    assert "no process names it" in entry["evidence"] and "missing" not in entry


def test_an_age_in_the_future_is_null(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was set back after the file was written (F1)."""
    make(root, "unit-1")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    (entry,) = call(root).value["sandboxes"]
    assert entry["age"] is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "it is empty"), (b"{cut", "not valid JSON"), (b"[]", "no JSON object")],
    ids=["empty", "cut", "list"],
)
def test_a_damaged_state_is_told_and_hides_nobody(root: Path, content: bytes, problem: str) -> None:
    make(root, "a", content=content)
    make(root, "b")
    result = call(root, with_documents=True)
    assert ids(result) == ["a", "b"]
    entry = result.value["sandboxes"][0]
    assert any(problem in sentence for sentence in entry["evidence"])
    assert problem in entry["containers"][0]["problems"][0] and entry["containers"][0]["documents"] == {}


def spoil_state(root: Path) -> None:
    (root / "a_sandbox:a.state").mkdir()


def spoil_lock(root: Path) -> None:
    make(root, "a")
    (root / "a_sandbox:a.lock").unlink()
    (root / "a_sandbox:a.lock").mkdir()


def spoil_lock_by_fifo(root: Path) -> None:
    make(root, "a")
    (root / "a_sandbox:a.lock").unlink()
    os.mkfifo(root / "a_sandbox:a.lock")


def spoil_paths(root: Path) -> None:
    spec = {"root": {"path": "/\ud800"}, "mounts": [{"source": "/a\0b"}]}
    (root / "a_sandbox:a.state").write_text(
        json.dumps({"spec": spec, "bundleDir": "/x\0/io.containerd.runtime.v2.task/y"})
    )


def spoil_depth(root: Path) -> None:
    make(root, "a", content=b'{"a":' * 900 + b"1" + b"}" * 900)


@pytest.mark.parametrize("spoil", [spoil_state, spoil_lock, spoil_lock_by_fifo, spoil_paths, spoil_depth])
@pytest.mark.parametrize("with_documents", [False, True])
def test_one_sandbox_that_cannot_be_read_hides_nobody(root: Path, spoil: Any, with_documents: bool) -> None:
    """gvisor#5052: one bad file stopped everything."""
    make(root, "b")
    spoil(root)
    result = call(root, with_documents=with_documents)
    assert not result.failed and ids(result) == ["a", "b"]
    assert result.value["sandboxes"][1]["verdict"] == "leftover"
    if spoil in (spoil_state, spoil_lock, spoil_lock_by_fifo):
        assert result.value["sandboxes"][0]["verdict"] == "unknown"


def test_R9_a_lock_alone_tells_what_is_missing(root: Path) -> None:
    (root / "a_sandbox:a.lock").touch()
    (entry,) = call(root).value["sandboxes"]
    assert entry["missing"] == ["a_sandbox:a.state"]


def test_one_container_of_a_pod(root: Path) -> None:
    make(root, "pod")
    make(root, "ctr-1", "pod")
    make(root, "ctr-2", "pod")
    (root / "ctr-2_sandbox:pod.lock").unlink()
    (entry,) = call(root, sandbox_id="pod").value["sandboxes"]
    assert [one["container_id"] for one in entry["containers"]] == ["ctr-1", "ctr-2", "pod"]
    assert entry["missing"] == ["ctr-2_sandbox:pod.lock"]
    (entry,) = call(root, sandbox_id="pod", container_id="ctr-1").value["sandboxes"]
    assert entry["container_id"] == "ctr-1"
    assert entry["paths"] == [f"{root}/ctr-1_sandbox:pod.state", f"{root}/ctr-1_sandbox:pod.lock"]
    assert "missing" not in entry, "what another container lacks is not this one's"
    (entry,) = call(root, sandbox_id="pod", container_id="none").value["sandboxes"]
    assert entry["exists"] is False


def test_promise_8_documents_are_shown_only_when_asked_for_and_masked(root: Path) -> None:
    process = {"env": [f"DB={SECRET}"], "args": ["x", f"--password={SECRET}"]}
    make(root, "a", spec={"process": process, "hostname": "h"})
    without, with_them = call(root), call(root, with_documents=True)
    assert "documents" not in without.value["sandboxes"][0]["containers"][0]
    state = with_them.value["sandboxes"][0]["containers"][0]["documents"]["state"]
    assert state["spec"] == {"process": {"env": ["DB=********"], "args": ["x", "--password=********"]}, "hostname": "h"}
    for result in (without, with_them):
        assert SECRET not in result.text + result.logged


def test_promise_6_looking_changes_nothing(root: Path) -> None:
    make(root, "a")
    (root / "b_sandbox:b.state").write_text("{}")
    before = {path.name: (path.stat().st_ino, path.stat().st_ctime_ns) for path in root.iterdir()}
    for options in ({}, {"sandbox_id": ["a", "b", "none"]}, {"with_documents": True}):
        for check_mode in (False, True):
            assert not call(root, check_mode, **options).failed
    assert {path.name: (path.stat().st_ino, path.stat().st_ctime_ns) for path in root.iterdir()} == before


def test_B3_a_held_lock_is_waited_for_and_then_told(root: Path) -> None:
    make(root, "a")
    make(root, "b")
    descriptor = os.open(root / "a_sandbox:a.lock", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        begun = time.monotonic()
        result = call(root, with_documents=True)
        assert time.monotonic() - begun < 60
    finally:
        os.close(descriptor)
    first, second = result.value["sandboxes"]
    assert (first["verdict"], second["verdict"]) == ("unknown", "leftover")
    assert any("a_sandbox:a.lock is held" in sentence for sentence in first["evidence"])
    assert first["containers"][0]["documents"]["state"]["id"] == "a", "what can be read is shown all the same"


def test_B3_a_shared_lock_of_another_reader_does_not_matter(root: Path) -> None:
    make(root, "a")
    descriptor = os.open(root / "a_sandbox:a.lock", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        assert call(root).value["sandboxes"][0]["verdict"] == "leftover"
    finally:
        os.close(descriptor)


def test_A2_without_sight_of_all_processes_nothing_is_a_leftover(root: Path) -> None:
    make(root, "a")
    (entry,) = call(root, sees_all_processes=False).value["sandboxes"]
    assert entry["verdict"] == "unknown" and any(
        "sees_all_processes=false" in sentence for sentence in entry["evidence"]
    )


def test_A7_a_recorded_pid_that_is_ours_is_a_reused_one(root: Path) -> None:
    make(root, "a", goferPid=os.getpid())
    (entry,) = call(root).value["sandboxes"]
    assert entry["verdict"] == "leftover"
    assert any(f"recorded pid {os.getpid()} (gofer) is now " in sentence for sentence in entry["evidence"])


def test_a_root_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    result = call(tmp_path / "none")
    assert (result.value["sandboxes"], result.msg) == ([], "0 sandboxes.")
    (tmp_path / "file").touch()
    assert call(tmp_path / "file").failed


def test_legacy(root: Path) -> None:
    (root / "pod.state").write_text(json.dumps({"id": "pod", "sandbox": {"id": "pod"}}))
    (root / "ctr.state").write_text(json.dumps({"id": "ctr", "sandbox": {"id": "pod"}}))
    (root / "new_sandbox:new.state").write_text("{}")
    (entry,) = call(root, layout="gvisor_legacy").value["sandboxes"]
    assert [one["container_id"] for one in entry["containers"]] == ["ctr", "pod"]
