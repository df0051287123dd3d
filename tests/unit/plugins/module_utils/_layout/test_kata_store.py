# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import RecordedProcess
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    CONFIG,
    NAME,
    SID,
    STATE,
    layout_of,
    make,
    put,
    read,
    unpack,
)

STORE = layout_of("kata_store")
RUN = STATE["kata_store"]


def test_R3_what_kata_1_8_wrote_is_read_whole(tmp_path: Path) -> None:
    unpack("kata-store-1.8.0", tmp_path)
    reading = read("kata_store", tmp_path, SID)
    assert reading.containers == (CID,)
    assert (reading.missing, reading.problems, reading.doubts) == ((), (), ())
    read_documents = [(one.container_id, one.name) for one in reading.documents if not one.problem]
    assert sorted(read_documents) == sorted(
        [("", name) for name in ("config", "state", "network", "hypervisor", "agent", "devices")]
        + [(CID, name) for name in ("config", "state", "process", "mounts", "devices")]
    )
    assert [(part.role, part.path) for part in reading.parts] == [
        ("config", f"{tmp_path}/{CONFIG}/{SID}"),
        ("state", f"{tmp_path}/{RUN}/{SID}"),
    ]
    assert {one.role for one in STORE.recorded_processes(reading)} <= {"proxy", "virtiofsd", "shim"}


def test_the_processes_of_the_sample(tmp_path: Path) -> None:
    unpack("kata-store-1.8.0", tmp_path)
    reading = read("kata_store", tmp_path, SID)
    agent, process = reading.document("agent", ""), reading.document("process", CID)
    assert agent is not None and process is not None
    wanted = [("proxy", agent.content["ProxyPid"], ""), ("shim", process.content["Pid"], CID)]
    assert STORE.recorded_processes(reading) == [RecordedProcess(*one) for one in wanted if one[1] > 0]


def test_the_configuration_survives_a_reboot_and_the_state_does_not(tmp_path: Path) -> None:
    """The two trees are named by two options; what is looked for where is the contract's table."""
    assert [(rule.option, rule.default, rule.mode, rule.above_mode, rule.inside) for rule in STORE.root_rules] == [
        ("config_root", "/var/lib/vc", 0o750, 0o750, "sbs"),
        ("run_root", "/run/vc", 0o750, 0o750, "sbs"),
    ]
    for tree in STORE.trees:
        assert (tree.mode, tree.directories, tree.files) == (0o750, (("raw", 0o750),), (("lock", 0o644),))
    assert [rule.name for rule in STORE.documents if rule.tree == "config"] == ["config"]
    assert {rule.mode for rule in STORE.documents} == {0o644} and not any(rule.newline for rule in STORE.documents)


def test_D1_the_configuration_is_removed_first_and_made_last() -> None:
    assert [tree.role for tree in STORE.trees] == ["config", "state"] and STORE.state_tree.role == "state"


@pytest.mark.parametrize("name", ["process", "mounts"])
def test_a_sandboxs_directory_has_no_documents_of_a_container(tmp_path: Path, name: str) -> None:
    state = make("kata_store", tmp_path)
    put(state / f"{name}.json", {})
    assert name not in [one.name for one in read("kata_store", tmp_path).documents]


@pytest.mark.parametrize("name", ["network", "hypervisor", "agent"])
def test_a_containers_directory_has_no_documents_of_a_sandbox(tmp_path: Path, name: str) -> None:
    state = make("kata_store", tmp_path, containers=("app-1",))
    put(state / "app-1" / f"{name}.json", {"ProxyPid": 7, "VirtiofsdPid": 7})
    reading = read("kata_store", tmp_path)
    assert name not in [one.name for one in reading.documents] and STORE.recorded_processes(reading) == []


SANDBOX_DEVICE = {"Type": "block", "Data": {"ID": "d1"}}
CONTAINER_DEVICE = {"ID": "d1", "ContainerPath": "/dev/x"}


@pytest.mark.parametrize(
    ("container_id", "devices", "why"),
    [
        ("", [SANDBOX_DEVICE], ""),
        ("", [], ""),
        ("", [SANDBOX_DEVICE, CONTAINER_DEVICE], "documents.devices[1]: a sandbox's device has Type and Data"),
        ("", [{"Type": "block"}], "this one has no Data"),
        ("", [{}], "this one has no Type"),
        ("app-1", [CONTAINER_DEVICE], ""),
        ("app-1", [], ""),
        ("app-1", [SANDBOX_DEVICE], "documents.devices[0]: a container's device has ID and ContainerPath"),
        ("app-1", [{"ID": "d1"}], "this one has no ContainerPath"),
    ],
)
def test_devices_json_has_another_schema_at_each_level(container_id: str, devices: list[Any], why: str) -> None:
    """Devices and DeviceIDs are one file name (kata-store.md, Files and JSON fields)."""
    if not why:
        STORE.check_document("devices", devices, "s1", container_id)
        return
    with pytest.raises(InvalidInput) as caught:
        STORE.check_document("devices", devices, "s1", container_id)
    assert why in str(caught.value) and "Give the list of the right level." in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "container_id", "data"),
    [
        ("devices", [], "", b"null"),
        ("devices", [], "app-1", b"[]"),
        ("devices", [CONTAINER_DEVICE], "app-1", b'[{"ID":"d1","ContainerPath":"/dev/x"}]'),
        ("mounts", [], "app-1", b"[]"),
        ("config", {"ID": "s1", "Cmd": "<a>"}, "", b'{"ID":"s1","Cmd":"\\u003ca\\u003e"}'),
        ("state", {}, "", b"{}"),
    ],
)
def test_K3_documents_as_go_encodes_them(name: str, content: Any, container_id: str, data: bytes) -> None:
    """A sandbox without devices has a slice that is nil, which Go writes as null."""
    assert STORE.encode(STORE.rule_of(name), content, container_id) == data


def test_null_is_a_list_of_no_devices(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    put(state / "devices.json", b"null")
    found = read("kata_store", tmp_path).document("devices", "")
    assert found is not None and (found.content, found.problem) == (None, "")


@pytest.mark.parametrize("name", ["hypervisor", "agent", "config", "state", "network"])
def test_null_is_no_mapping(tmp_path: Path, name: str) -> None:
    state = make("kata_store", tmp_path)
    put((tmp_path / CONFIG / NAME if name == "config" else state) / f"{name}.json", b"null")
    found = read("kata_store", tmp_path).document(name, "")
    assert found is not None and found.problem == "it is no JSON object"


CONFIG_TREE, RUN_TREE = Path(CONFIG, NAME), Path(RUN, NAME)
PARTS = {
    "config tree": CONFIG_TREE,
    "config.json": CONFIG_TREE / "config.json",
    "config lock": CONFIG_TREE / "lock",
    "config raw": CONFIG_TREE / "raw",
    "run tree": RUN_TREE,
    "state.json": RUN_TREE / "state.json",
    "lock": RUN_TREE / "lock",
    "raw": RUN_TREE / "raw",
    "container's config": CONFIG_TREE / "app-1",
    "container's config.json": CONFIG_TREE / "app-1/config.json",
    "container's state.json": RUN_TREE / "app-1/state.json",
    "container's lock": RUN_TREE / "app-1/lock",
    "container's raw": RUN_TREE / "app-1/raw",
}


@pytest.mark.parametrize("part", PARTS)
def test_R9_what_is_missing_is_told_by_its_path(tmp_path: Path, part: str) -> None:
    """K1, K12 and a crash anywhere: each part may be the one that is not there."""
    make("kata_store", tmp_path, containers=("app-1",))
    gone = tmp_path / PARTS[part]
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    reading = read("kata_store", tmp_path)
    assert reading.problems == ()
    if part == "container's config":
        assert reading.missing == (), "the other tree still shows the container"
    else:
        assert reading.missing == (str(gone),)
    assert reading.containers == ("app-1",)


def test_documents_that_kata_writes_only_later_are_not_missed(tmp_path: Path) -> None:
    make("kata_store", tmp_path)
    assert read("kata_store", tmp_path).missing == ()


def test_K2_the_residue_of_a_status_query_is_seen_as_what_it_is(tmp_path: Path) -> None:
    """Also of 1.11, which opens the old store at each fetch (runtime#2921)."""
    (tmp_path / CONFIG / NAME / "raw").mkdir(parents=True)
    (tmp_path / CONFIG / NAME / "lock").touch()
    reading = read("kata_store", tmp_path)
    assert [part.role for part in reading.parts] == ["config"]
    assert reading.missing == (f"{tmp_path}/{CONFIG}/{NAME}/config.json", f"{tmp_path}/{RUN}/{NAME}")
    assert reading.containers == (), "raw is no container"


def test_a_document_without_evidence_is_left_unread_when_only_owners_count(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path, containers=("app-1",), agent={"ProxyPid": 5}, hypervisor={"VirtiofsdPid": 6})
    put(state / "app-1" / "process.json", {"Pid": 7})
    put(state / "app-1" / "mounts.json", [])
    whole, short = read("kata_store", tmp_path), read("kata_store", tmp_path, whole=False)
    assert STORE.recorded_processes(whole) == STORE.recorded_processes(short) != []
    left_out = {one.name for one in whole.documents} - {one.name for one in short.documents}
    assert left_out == {"state", "mounts"} and short.missing == whole.missing
