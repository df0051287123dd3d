# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    Reading,
    RecordedProcess,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    NAME,
    SID,
    STATE,
    layout_of,
    make,
    put,
    read,
    unpack,
)

PERSIST = layout_of("kata_persist")


def test_R3_what_kata_3_2_wrote_is_read_whole(tmp_path: Path) -> None:
    unpack("kata-persist-3.2.0", tmp_path)
    reading = read("kata_persist", tmp_path, SID)
    assert reading.containers == (SID, CID) and reading.missing == reading.problems == reading.doubts == ()
    assert [(one.name, one.container_id, one.problem) for one in reading.documents] == [
        ("persist", "", ""),
        ("persist", SID, ""),
        ("persist", CID, ""),
    ]
    assert [(part.role, part.path) for part in reading.parts] == [("state", f"{tmp_path}/run/vc/sbs/{SID}")]


def test_the_processes_of_the_sample(tmp_path: Path) -> None:
    unpack("kata-persist-3.2.0", tmp_path)
    reading = read("kata_persist", tmp_path, SID)
    recorded = PERSIST.recorded_processes(reading)
    assert recorded[:2] == [RecordedProcess("hypervisor", 4711, ""), RecordedProcess("virtiofsd", 4712, "")]
    assert {(one.role, one.container_id) for one in recorded[2:]} <= {("shim", SID), ("shim", CID)}


def test_the_contract_in_numbers() -> None:
    (rule,) = PERSIST.root_rules
    assert (rule.option, rule.default, rule.mode, rule.above_mode, rule.inside) == (
        "run_root",
        "/run/vc",
        0o700,
        0o755,
        "sbs",
    )
    (tree,) = PERSIST.trees
    assert (tree.mode, tree.directories, tree.files) == (0o700, (), ())
    (document,) = PERSIST.documents
    assert (document.name, document.mode, document.newline) == ("persist", 0o600, True)
    assert PERSIST.inherits_owner and not PERSIST.raw_directory


@pytest.mark.parametrize("container_id", ["", "app-1"])
def test_P6_a_document_ends_with_one_newline(container_id: str) -> None:
    rule = PERSIST.rule_of("persist")
    assert PERSIST.encode(rule, {"B": 1, "A": "&"}, container_id) == b'{"B":1,"A":"\\u0026"}\n'


def test_both_spellings_of_virtiofsds_pid_are_read() -> None:
    """VirtiofsdPid up to 2.3, VirtiofsDaemonPid from 2.4; PersistVersion is 2 in both."""
    for state in ({"VirtiofsdPid": 8}, {"VirtiofsDaemonPid": 8}):
        content = {"HypervisorState": {"Pid": 9, **state}, "PersistVersion": 2}
        reading = Reading("s1", documents=(Document("persist", "", "/p", content),))
        assert [(one.role, one.pid) for one in PERSIST.recorded_processes(reading)] == [
            ("hypervisor", 9),
            ("virtiofsd", 8),
        ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "it is empty (0 bytes)"), (b'{"State":"run', "not valid JSON"), (b'{"State":"x"}\nold}', "not valid JSON")],
    ids=["empty", "cut", "old bytes at the end"],
)
def test_P2_a_torn_document_is_a_problem_of_its_own(tmp_path: Path, data: bytes, problem: str) -> None:
    """P6 leaves the last kind: a shorter rewrite without truncation."""
    state = make("kata_persist", tmp_path, containers=("app-1",))
    put(state / "persist.json", data)
    reading = read("kata_persist", tmp_path)
    own, inner = reading.document("persist", ""), reading.document("persist", "app-1")
    assert own is not None and problem in own.problem and own.readable
    assert inner is not None and inner.problem == "", "the others are read all the same"


@pytest.mark.parametrize("gone", ["persist.json", "app-1/persist.json"])
def test_R9_what_is_missing_is_told_by_its_path(tmp_path: Path, gone: str) -> None:
    state = make("kata_persist", tmp_path, containers=("app-1",))
    (state / gone).unlink()
    reading = read("kata_persist", tmp_path)
    assert reading.missing == (str(state / gone),) and reading.containers == ("app-1",)


def test_a_monitor_socket_alone_is_a_sandbox(tmp_path: Path) -> None:
    """kata#2805: then the directory stays for ever, and a new sandbox of that name cannot bind."""
    put(tmp_path / STATE["kata_persist"] / NAME / "shim-monitor.sock")
    reading = read("kata_persist", tmp_path)
    path = f"{tmp_path}/run/vc/sbs/{NAME}"
    assert (reading.sockets, reading.missing) == ((f"{path}/shim-monitor.sock",), (f"{path}/persist.json",))


def test_P3_every_directory_inside_is_taken_for_a_container(tmp_path: Path) -> None:
    """As Kata's own load does; only what it would skip is told as missing."""
    state = make("kata_persist", tmp_path)
    (state / "raw").mkdir()
    put(state / "a-file")
    reading = read("kata_persist", tmp_path)
    assert reading.containers == ("raw",) and reading.missing == (f"{state}/raw/persist.json",)
