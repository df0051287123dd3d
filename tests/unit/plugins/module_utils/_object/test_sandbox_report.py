# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.info_words import in_words
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_report import report_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_selection import Selection
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    CONFIG,
    KATA,
    NAME,
    SHARE,
    SID,
    STATE,
    VM,
    listing,
    make,
    put,
    state_of,
    unpack,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_trees import (
    tree_of,
    view_of,
)


def entry(name: str, verdict: str = "", *evidence: str) -> dict[str, Any]:
    if not verdict:
        return {"sandbox_id": name, "exists": False}
    return {"sandbox_id": name, "exists": True, "verdict": verdict, "evidence": list(evidence)}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([], "0 sandboxes."),
        ([entry("a")], "0 sandboxes. 1 not there."),
        ([entry("a", "live", "x")], "1 sandbox: 1 live."),
        ([entry("a", "leftover", "x", "y")], "1 sandbox: 1 leftover. Leftover: a (x; y)."),
        (
            [entry("a", "unknown", "z"), entry("b", "live", "x"), entry("c"), entry("d", "leftover", "y")],
            "3 sandboxes: 1 live, 1 leftover, 1 unknown. 1 not there. Unknown: a (z). Leftover: d (y).",
        ),
    ],
    ids=["none", "not there", "live", "leftover", "all kinds"],
)
def test_the_summary_in_words(entries: list[dict[str, Any]], text: str) -> None:
    assert in_words(entries, "sandbox", "sandbox_id") == text


def test_the_summary_names_at_most_five() -> None:
    text = in_words([entry(f"n{number}", "leftover", "x") for number in range(9)], "sandbox", "sandbox_id")
    assert text.startswith("9 sandboxes: 9 leftover.") and text.count("Leftover: ") == 5


class Recorder(HostView):
    """A real view that writes down when processes are first asked for."""

    def __init__(self, order: list[str]) -> None:
        super().__init__("/", True)
        self.order = order

    @property
    def processes(self) -> Any:
        self.order.append("processes")
        return super().processes


def test_B4_all_files_are_read_before_processes_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that appears in between is then not missed."""
    order: list[str] = []
    for name in ("a", "b"):
        (tmp_path / f"{name}_sandbox:{name}.state").write_text("{}")
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(tmp_path)})
    original = tree.read

    def noted(view: HostView, sandbox_id: str, **options: Any) -> Any:
        order.append(sandbox_id)
        return original(view, sandbox_id, **options)

    monkeypatch.setattr(tree, "read", noted)
    entries = report_all(tree, Selection(None, ""), Recorder(order), LockBudget(1), False)
    assert [one["sandbox_id"] for one in entries] == ["a", "b"]
    assert "processes" in order and max(order.index(name) for name in "ab") < order.index("processes")
    assert "a" not in order[order.index("processes") :]


def test_the_newest_part_decides_the_age_and_all_parts_the_size(tmp_path: Path) -> None:
    (tmp_path / "a_sandbox:a.state").write_text('{"x":1}')
    (tmp_path / "a_sandbox:a.lock").touch()
    (tmp_path / ".a_sandbox:a.state.sbx-tmp").write_text("torn")
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(tmp_path)})
    (found,) = report_all(tree, Selection(["a"], ""), HostView("/", True), LockBudget(1), False)
    assert found["size"] == len('{"x":1}') + len("torn") and found["age"] in (0, 1)
    assert len(found["paths"]) == 3


# Kata


def entries_of(layout: str, host: Path, container_id: str = "", documents: bool = False, **names: Any) -> Any:
    ids = names.get("ids")
    return report_all(tree_of(layout, host), Selection(ids, container_id), view_of(host), LockBudget(0.2), documents)


def test_what_kata_1_8_wrote_is_shown_whole(tmp_path: Path) -> None:
    unpack("kata-store-1.8.0", tmp_path)
    (found,) = entries_of("kata_store", tmp_path, documents=True)
    documents = found.pop("documents")
    (container,) = found.pop("containers")
    assert sorted(documents) == ["agent", "config", "devices", "hypervisor", "network", "state"]
    assert (documents["config"]["ID"], documents["devices"]) == (SID, None)
    assert container["container_id"] == CID and "problems" not in container
    assert sorted(container["documents"]) == ["config", "devices", "mounts", "process", "state"]
    assert container["documents"]["mounts"][0]["Destination"] == "/data"
    sizes = [len(data or b"") for name, (_mode, data) in listing(tmp_path).items() if name.endswith(".json")]
    age = found.pop("age")
    assert isinstance(age, int) and found == {
        "sandbox_id": SID,
        "layout": "kata_store",
        "exists": True,
        "verdict": "leftover",
        "evidence": found["evidence"],
        "paths": [f"{tmp_path}/{CONFIG}/{SID}", f"{tmp_path}/run/vc/sbs/{SID}"],
        "size": sum(sizes),
    }


def test_what_kata_3_2_wrote_is_shown_whole(tmp_path: Path) -> None:
    unpack("kata-persist-3.2.0", tmp_path)
    (found,) = entries_of("kata_persist", tmp_path, documents=True)
    assert list(found["documents"]) == ["persist"] and found["documents"]["persist"]["SandboxContainer"] == SID
    assert [(one["container_id"], list(one["documents"])) for one in found["containers"]] == [
        (SID, ["persist"]),
        (CID, ["persist"]),
    ]
    (without,) = entries_of("kata_persist", tmp_path)
    assert "documents" not in without and without["containers"] == [{"container_id": SID}, {"container_id": CID}]
    assert without["size"] == found["size"] and without["verdict"] == found["verdict"]


@pytest.mark.parametrize("layout", KATA)
def test_what_belongs_to_a_sandbox_beside_its_state_is_shown(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    put(tmp_path / SHARE / NAME / "x")
    put(tmp_path / VM / NAME / "pid", b"4194399")
    (found,) = entries_of(layout, tmp_path)
    wanted = [{"kind": "share", "path": f"{tmp_path}/{SHARE}/{NAME}"}]
    if layout != "kata_rs":
        wanted.append({"kind": "vm", "path": f"{tmp_path}/{VM}/{NAME}"})
        assert "recorded pid 4194399 (hypervisor) is gone" in found["evidence"]
    assert sorted(found["beside"], key=lambda one: str(one["kind"])) == wanted
    assert {one["path"] for one in wanted} <= set(found["paths"])


@support.needs_root
def test_R4_what_is_mounted_there_is_shown_in_words(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    (tmp_path / SHARE / NAME / "mounts" / "app-1").mkdir(parents=True)
    (tmp_path / "data").mkdir()

    def inside() -> None:
        support.bind(str(tmp_path / "data"), str(tmp_path / SHARE / NAME / "mounts" / "app-1"))
        (found,) = entries_of("kata_persist", tmp_path)
        (share,) = found["beside"]
        assert len(share["mounts"]) == 1 and f"{SHARE}/{NAME}/mounts/app-1" in share["mounts"][0]

    support.in_private_namespace(inside)


def test_a_share_without_a_state_is_shown_when_it_is_asked_for(tmp_path: Path) -> None:
    """S1: nobody cleans it after a shim's crash; it is listed by nobody, since any name may stand there."""
    (tmp_path / STATE["kata_persist"]).mkdir(parents=True)
    put(tmp_path / SHARE / NAME / "x")
    assert entries_of("kata_persist", tmp_path) == []
    (found,) = entries_of("kata_persist", tmp_path, ids=[NAME])
    assert (found["exists"], found["verdict"], found["containers"]) == (True, "leftover", [])
    assert found["paths"] == [f"{tmp_path}/{SHARE}/{NAME}"] and "missing" not in found


@pytest.mark.parametrize("gone", ["config", "state"])
def test_R9_half_a_store_says_what_is_missing(tmp_path: Path, gone: str) -> None:
    state = make("kata_store", tmp_path)
    tree = tmp_path / CONFIG / NAME if gone == "config" else state
    shutil.rmtree(tree)
    (found,) = entries_of("kata_store", tmp_path)
    assert (found["missing"], found["verdict"]) == ([str(tree)], "leftover")


def test_one_container_is_shown_with_its_own_paths_and_what_it_lacks(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path, containers=("app-1", "app-2"))
    for name in ("app-1", "app-2"):
        (state / name / "lock").unlink()
    (state / "lock").unlink()
    (found,) = entries_of("kata_store", tmp_path, "app-1", documents=True, ids=[NAME])
    assert (found["container_id"], found["exists"]) == ("app-1", True)
    assert found["paths"] == [f"{tmp_path}/{CONFIG}/{NAME}/app-1", f"{state}/app-1"]
    assert found["missing"] == [f"{state}/app-1/lock"] and "documents" not in found
    assert [one["container_id"] for one in found["containers"]] == ["app-1"]
    (found,) = entries_of("kata_store", tmp_path, "none", ids=[NAME])
    assert found == {"sandbox_id": NAME, "layout": "kata_store", "exists": False, "container_id": "none"}


@pytest.mark.parametrize("layout", KATA)
def test_promise_6_looking_takes_no_lock_that_its_owner_would_notice(tmp_path: Path, layout: str) -> None:
    """Kata 1.7 to 1.10 take the directory's lock without waiting, and fail when a reader has it (B3)."""
    state = make(layout, tmp_path)
    place = {"kata_store": state / "lock", "kata_persist": state, "kata_rs": state}[layout]
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        (shared,) = entries_of(layout, tmp_path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (exclusive,) = entries_of(layout, tmp_path)
    finally:
        os.close(descriptor)
    assert shared["verdict"] == "leftover"
    assert exclusive["verdict"] == ("unknown" if layout == "kata_store" else "leftover"), "our own holds are ours"


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", ".")])
def test_B3_a_runtime_that_holds_the_lock_is_told(tmp_path: Path, layout: str, name: str) -> None:
    state = make(layout, tmp_path)
    make(layout, tmp_path, f"{NAME}-2")

    def hold() -> None:
        fcntl.flock(os.open(state / name, os.O_RDONLY), fcntl.LOCK_EX)

    with support.another_process(hold) as pid:
        first, second = entries_of(layout, tmp_path, documents=True)
    assert (first["verdict"], second["verdict"]) == ("unknown", "leftover")
    assert any(f"(pid {pid}, running since" in sentence for sentence in first["evidence"])
    assert first["documents"], "what can be read is shown all the same"


def _link(state: Path, tmp_path: Path) -> None:
    state.rename(tmp_path / "moved")
    state.symlink_to(tmp_path / "moved")


def _file(state: Path, tmp_path: Path) -> None:
    shutil.rmtree(state)
    state.touch()


def _documents(state: Path, tmp_path: Path) -> None:
    for document in (*state.glob("*.json"), *(tmp_path / CONFIG / NAME).glob("*.json")):
        document.unlink()
        document.mkdir()


def _lock(state: Path, tmp_path: Path) -> None:
    (state / "lock").unlink(missing_ok=True)
    os.mkfifo(state / "lock")


def _deep(state: Path, tmp_path: Path) -> None:
    for document in state.glob("*.json"):
        document.write_bytes(b'{"a":' * 900 + b"1" + b"}" * 900)


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("spoil", [_link, _file, _documents, _lock, _deep])
@pytest.mark.parametrize("documents", [True, False], ids=["with documents", "without"])
def test_promise_7_one_that_cannot_be_read_hides_nobody(
    tmp_path: Path, layout: str, spoil: Any, documents: bool
) -> None:
    make(layout, tmp_path, f"{NAME}-2")
    spoil(make(layout, tmp_path), tmp_path)
    before = listing(tmp_path)
    first, second = entries_of(layout, tmp_path, documents=documents)
    assert (first["sandbox_id"], second["sandbox_id"], second["verdict"]) == (NAME, f"{NAME}-2", "leftover")
    assert first["verdict"] == ("unknown" if spoil in (_link, _file, _documents) else "leftover")
    assert listing(tmp_path) == before


def test_U5_no_lock_is_taken_through_a_link(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    _link(state, tmp_path)

    def hold() -> None:
        fcntl.flock(os.open(tmp_path / "moved" / "lock", os.O_RDONLY), fcntl.LOCK_EX)

    with support.another_process(hold):
        (found,) = entries_of("kata_store", tmp_path)
    assert not any("is held" in sentence for sentence in found["evidence"])
    assert found["evidence"] == [f"{state_of('kata_store', tmp_path)} is no directory"]
