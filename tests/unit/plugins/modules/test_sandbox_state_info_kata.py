# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    CONFIG,
    KATA,
    NAME,
    SHARE,
    SID,
    STATE,
    VM,
    documents_in,
    listing,
    make,
    put,
    state_of,
    titled,
    unpack,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

SECRET = "hunter2-of-nobody"
MARK = "0123456789abcdef"
WITH_CONTAINERS = ["kata_store", "kata_persist"]


def call(host: Path, layout: str, check_mode: bool = False, **options: Any) -> Result:
    base = {"layout": layout, "host_root": str(host), "sees_all_processes": True, "lock_timeout": 0.2}
    return run("sandbox_state_info", {**base, **options}, check_mode)


def entries(result: Result) -> list[dict[str, Any]]:
    assert not result.failed, result.msg
    assert result.value["changed"] is False
    found: list[dict[str, Any]] = result.value["sandboxes"]
    return found


def ids(result: Result) -> list[str]:
    return [entry["sandbox_id"] for entry in entries(result)]


@pytest.mark.parametrize("layout", KATA)
def test_all_sandboxes_sorted_by_name_and_those_that_are_given_in_their_order(tmp_path: Path, layout: str) -> None:
    for name in ("b1", "a1", "c1"):
        make(layout, tmp_path, name)
    result = call(tmp_path, layout)
    assert ids(result) == ["a1", "b1", "c1"] and result.msg.startswith("3 sandboxes: 3 leftover.")
    result = call(tmp_path, layout, sandbox_id=["c1", "none", "a1"])
    assert [entry["exists"] for entry in entries(result)] == [True, False, True] and "1 not there" in result.msg
    assert ids(call(tmp_path, layout, sandbox_id=[])) == []


@pytest.mark.parametrize(
    ("sample", "layout", "container_id"),
    [("kata-store-1.8.0", "kata_store", CID), ("kata-persist-3.2.0", "kata_persist", CID)],
)
def test_R3_what_kata_wrote_is_returned_as_it_is(tmp_path: Path, sample: str, layout: str, container_id: str) -> None:
    unpack(sample, tmp_path)
    (entry,) = entries(call(tmp_path, layout, with_documents=True))
    assert entry["sandbox_id"] == SID and entry["verdict"] == "leftover"
    containers = {one["container_id"]: one["documents"] for one in entry["containers"]}
    for inside, found in (("", entry["documents"]), (container_id, containers[container_id])):
        wanted = documents_in(tmp_path / CONFIG / SID / inside, tmp_path / "run/vc/sbs" / SID / inside)
        masked = json.loads(json.dumps(wanted).replace('"tok"', '"********"'))  # the token of its process
        assert {name: [] if content is None else content for name, content in found.items()} == masked


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("with_documents", [False, True])
def test_promise_6_K2_looking_changes_nothing_and_makes_nothing(
    tmp_path: Path, layout: str, with_documents: bool
) -> None:
    """Merely asking Kata 1.x for the status of a sandbox makes both of its trees."""
    selections: list[dict[str, Any]] = [{}, {"sandbox_id": [NAME, "none"]}]
    for options in selections:
        entries(call(tmp_path, layout, with_documents=with_documents, **options))
    assert list(tmp_path.iterdir()) == []
    make(layout, tmp_path)
    (state_of(layout, tmp_path) / "lock").unlink(missing_ok=True)
    before = {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in tmp_path.rglob("*")}
    for options in selections:
        for check_mode in (False, True):
            entries(call(tmp_path, layout, check_mode, with_documents=with_documents, **options))
    assert {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("layout", KATA)
def test_one_entry_says_all(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path)
    put(tmp_path / SHARE / NAME / "x")
    (entry,) = entries(call(tmp_path, layout))
    config = [f"{tmp_path}/{CONFIG}/{NAME}"] if layout == "kata_store" else []
    assert entry["paths"] == [f"{tmp_path}/{SHARE}/{NAME}", *config, str(state)]
    assert entry["beside"] == [{"kind": "share", "path": f"{tmp_path}/{SHARE}/{NAME}"}]
    assert (entry["exists"], entry["verdict"], entry["layout"]) == (True, "leftover", layout)
    assert entry["evidence"] == ["no process names it"] and 0 <= entry["age"] < 60
    assert entry["size"] == sum(path.stat().st_size for path in tmp_path.rglob("*.json"))
    assert "missing" not in entry and "documents" not in entry and entry["containers"] == []


@pytest.mark.parametrize("layout", KATA)
def test_a_live_sandbox_and_who_runs_it(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    with titled("virtiofsd", f"--shared-dir={tmp_path}/{SHARE}/{NAME}/shared", "--fd=3") as child:
        result = call(tmp_path, layout)
    (entry,) = entries(result)
    assert entry["verdict"] == "live" and result.msg == "1 sandbox: 1 live."
    (sentence,) = entry["evidence"]
    assert sentence.startswith(f"virtiofsd (pid {child.pid}, running since ") and sentence.endswith("serves its files")


@pytest.mark.parametrize("kind", ["remote", "dragonball"])
@pytest.mark.parametrize("layout", KATA)
def test_A7_a_machine_without_a_process_is_unknown(tmp_path: Path, layout: str, kind: str) -> None:
    documents: dict[str, Any] = {
        "kata_store": {"config": {"HypervisorType": kind}},
        "kata_persist": {"persist": {"Config": {"HypervisorType": kind}}},
        "kata_rs": {"state": {"hypervisor": {"hypervisor_type": kind}}},
    }
    make(layout, tmp_path, **documents[layout])
    (entry,) = entries(call(tmp_path, layout))
    assert entry["verdict"] == "unknown" and entry["evidence"][0].startswith(f"its hypervisor is {kind}, ")


def test_A4_a_bundle_means_that_an_engine_may_know_it(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    bundle = tmp_path / f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{NAME}"
    bundle.mkdir(parents=True)
    (entry,) = entries(call(tmp_path, "kata_persist"))
    assert entry["evidence"] == [f"its engine may still know it: the bundle {bundle} exists"]
    assert entry["verdict"] == "unknown"


def test_A2_without_sight_of_all_processes_nothing_is_a_leftover(tmp_path: Path) -> None:
    for layout in KATA:
        make(layout, tmp_path / layout)
        (entry,) = entries(call(tmp_path / layout, layout, sees_all_processes=False))
        assert entry["verdict"] == "unknown" and "sees_all_processes=false" in entry["evidence"][0]


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "it is empty (0 bytes)"), (b"{cut", "not valid JSON"), (b"[]", "no JSON object")],
    ids=["empty", "cut", "list"],
)
def test_P2_K3_a_damaged_document_is_told_and_hides_nobody(
    tmp_path: Path, layout: str, data: bytes, problem: str
) -> None:
    state = make(layout, tmp_path)
    make(layout, tmp_path, f"{NAME}-2")
    name = "persist" if layout == "kata_persist" else "state"
    put(state / f"{name}.json", data)
    first, second = entries(call(tmp_path, layout, with_documents=True))
    assert f"{state}/{name}.json: it is " in first["evidence"][0] and problem in first["evidence"][0]
    assert first["verdict"] == "leftover" and name not in first.get("documents", {})
    assert name in second["documents"] and second["evidence"] == ["no process names it"]


@pytest.mark.parametrize("layout", WITH_CONTAINERS)
def test_a_damaged_document_of_a_container_is_told_with_it(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path, containers=("app-1", "app-2"))
    name = "persist" if layout == "kata_persist" else "state"
    put(state / "app-1" / f"{name}.json", b"")
    (entry,) = entries(call(tmp_path, layout))
    assert entry["containers"] == [
        {"container_id": "app-1", "problems": ["it is empty (0 bytes)"]},
        {"container_id": "app-2"},
    ]


MISSING = [
    ("kata_store", "run/vc/sbs/{}/lock"),
    ("kata_store", "run/vc/sbs/{}/state.json"),
    ("kata_store", "var/lib/vc/sbs/{}/config.json"),
    ("kata_store", "var/lib/vc/sbs/{}"),
    ("kata_store", "run/vc/sbs/{}"),
    ("kata_persist", "run/vc/sbs/{}/persist.json"),
    ("kata_rs", "run/kata/{}/state.json"),
]


@pytest.mark.parametrize(("layout", "gone"), MISSING)
def test_R9_a_partial_sandbox_says_what_is_missing(tmp_path: Path, layout: str, gone: str) -> None:
    make(layout, tmp_path)
    path = tmp_path / gone.format(NAME)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (entry,) = entries(call(tmp_path, layout))
    assert (entry["missing"], entry["verdict"]) == ([str(path)], "leftover")


@pytest.mark.parametrize("layout", KATA)
def test_D2_what_is_left_of_a_delete_is_a_sandbox_of_its_name(tmp_path: Path, layout: str) -> None:
    (tmp_path / STATE[layout]).mkdir(parents=True)
    tombstone = (tmp_path / STATE[layout]).parent / f".sbx-del.a@b.{MARK}"
    tombstone.mkdir()
    (entry,) = entries(call(tmp_path, layout, sandbox_id=["a@b"]))
    assert (entry["exists"], entry["paths"]) == (True, [str(tombstone)])
    assert ids(call(tmp_path, layout)) == ["a@b"]


def test_RS5_the_directory_of_all_jails_is_not_listed(tmp_path: Path) -> None:
    make("kata_rs", tmp_path)
    put(tmp_path / "run/kata/firecracker" / NAME / "root" / "state.json", {"hypervisor": {"id": "jailed"}})
    (state_of("kata_rs", tmp_path) / "state.json").unlink()
    (entry,) = entries(call(tmp_path, "kata_rs", with_documents=True))
    assert entry["beside"] == [{"kind": "jail", "path": f"{tmp_path}/run/kata/firecracker/{NAME}"}]
    assert entry["documents"] == {"state": {"hypervisor": {"id": "jailed"}}} and "missing" not in entry


def test_A7_a_recorded_pid_and_a_pid_file_are_told_with_what_became_of_them(tmp_path: Path) -> None:
    make("kata_persist", tmp_path, persist={"HypervisorState": {"Pid": os.getpid(), "VirtiofsDaemonPid": 4194398}})
    put(tmp_path / VM / NAME / "pid", b"4194399\n")
    (entry,) = entries(call(tmp_path, "kata_persist"))
    first, *others = entry["evidence"]
    assert first.startswith(f"recorded pid {os.getpid()} (hypervisor) is now ")
    assert first.endswith(", which does not name this sandbox")
    assert others == [
        "recorded pid 4194398 (virtiofsd) is gone",
        "recorded pid 4194399 (hypervisor) is gone",
        "no process names it",
    ]


@pytest.mark.parametrize("layout", WITH_CONTAINERS)
def test_one_container(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path, containers=("app-1", "app-2"))
    (entry,) = entries(call(tmp_path, layout, sandbox_id=NAME, container_id="app-1", with_documents=True))
    config = [f"{tmp_path}/{CONFIG}/{NAME}/app-1"] if layout == "kata_store" else []
    assert entry["paths"] == [*config, f"{state}/app-1"] and entry["container_id"] == "app-1"
    (container,) = entry["containers"]
    assert container["container_id"] == "app-1" and container["documents"]
    (entry,) = entries(call(tmp_path, layout, sandbox_id=NAME, container_id="none"))
    assert entry["exists"] is False


@pytest.mark.parametrize(
    ("layout", "options", "text"),
    [
        (
            "kata_store",
            {"container_id": "c"},
            "container_id: it is a container of one sandbox. Give sandbox_id as well.",
        ),
        (
            "kata_store",
            {"sandbox_id": ["a", "b"], "container_id": "c"},
            "container_id: it is a container of one sandbox, and 2 are given. Give one.",
        ),
        (
            "kata_persist",
            {"config_root": "/x"},
            "config_root: kata_persist has no such directory. Leave it out.",
        ),
        (
            "gvisor",
            {"config_root": "/x"},
            "config_root: gvisor has no such directory. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "firecracker"},
            "sandbox_id: 'firecracker' is the runtime's own, and no sandbox. Give a sandbox's name.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "a/b"},
            "sandbox_id: 'a/b' is not a name. A name is not empty, '.' or '..', and has no '/'.",
        ),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, layout: str, options: dict[str, Any], text: str) -> None:
    result = call(tmp_path, layout, **options)
    assert result.failed and result.msg == text


@pytest.mark.parametrize("layout", KATA)
def test_promise_8_documents_are_shown_only_when_asked_for_and_masked(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path)
    for document in (*state.glob("*.json"), *(tmp_path / CONFIG).glob("*/*.json")):
        content = json.loads(document.read_bytes())
        process = {"Args": ["x", f"--password={SECRET}"], "Envs": [{"Var": "DB", "Value": SECRET}], "User": "u"}
        put(document, {**content, "Cmd": process, "Process": {"Token": SECRET}})
    without, with_them = call(tmp_path, layout), call(tmp_path, layout, with_documents=True)
    assert "documents" not in entries(without)[0]
    for content in entries(with_them)[0]["documents"].values():
        assert content["Cmd"] == {
            "Args": ["x", "--password=********"],
            "Envs": [{"Var": "DB", "Value": "********"}],
            "User": "u",
        }
        assert content["Process"] == {"Token": "********"}
    for result in (without, with_them):
        assert SECRET not in result.text + result.logged


def test_promise_8_raw_items_are_never_shown(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    put(state / "raw" / "a", SECRET.encode())
    assert SECRET not in call(tmp_path, "kata_store", with_documents=True).text


@pytest.mark.long
@pytest.mark.parametrize("document", ["config", "hypervisor", "agent", "state", "network", "devices"])
@pytest.mark.parametrize("value", [{}, [], "text", 7, None, [[]], {"Containers": 7, "Annotations": [], "Data": None}])
def test_promise_7_foreign_documents_never_end_in_a_traceback(tmp_path: Path, document: str, value: Any) -> None:
    """U1: a list in the place of a machine's name stopped the listing of all."""
    state = make("kata_store", tmp_path)
    make("kata_store", tmp_path, f"{NAME}-2")
    tree = tmp_path / CONFIG / NAME if document == "config" else state
    keys = ("HypervisorConfig", "HypervisorType", "Containers", "Annotations", "ProxyPid", "VirtiofsdPid", "ID")
    for content in (value, dict.fromkeys(keys, value), {"HypervisorConfig": {"VMid": value}}):
        put(tree / f"{document}.json", json.dumps(content).encode())
        first, second = entries(call(tmp_path, "kata_store", with_documents=True))
        assert first["exists"] and second["verdict"] == "leftover"


def test_roots_that_are_not_there_hold_nothing(tmp_path: Path) -> None:
    for layout in KATA:
        result = call(tmp_path, layout)
        assert (entries(result), result.msg) == ([], "0 sandboxes.")
    put(tmp_path / "run" / "vc")
    result = call(tmp_path, "kata_persist")
    assert result.failed and f"{tmp_path}/run/vc" in result.msg and "Not a directory" in result.msg
    assert listing(tmp_path).keys() == {"run", "run/vc"}
