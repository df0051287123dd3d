# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InUse,
    InvalidInput,
    Mounted,
    NotProved,
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import MakeTree
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CONFIG,
    CONTAINER,
    KATA,
    NAME,
    SANDBOX,
    STATE,
    listing,
    make,
    put,
    state_of,
    titled,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_trees import (
    error_of,
    item_of,
    lines,
    planned,
    take,
)

WITH_CONTAINERS = ["kata_store", "kata_persist"]
RUN = f"{STATE['kata_store']}/{NAME}"


def documents(layout: str, container_id: str = "") -> dict[str, Any]:
    return CONTAINER[layout] if container_id else SANDBOX[layout]


# what is planned


@pytest.mark.parametrize(
    ("layout", "container_id", "wanted"),
    [
        ("kata_store", "", [f"+state run/vc/sbs/{NAME}", f"+config var/lib/vc/sbs/{NAME}"]),
        ("kata_store", "app-1", [f"+state run/vc/sbs/{NAME}/app-1", f"+config var/lib/vc/sbs/{NAME}/app-1"]),
        ("kata_persist", "", [f"+state run/vc/sbs/{NAME}"]),
        ("kata_persist", "app-1", [f"+state run/vc/sbs/{NAME}/app-1"]),
        ("kata_persist", NAME, [f"+state run/vc/sbs/{NAME}/{NAME}"]),
        ("kata_rs", "", [f"+state run/kata/{NAME}"]),
    ],
    ids=["store", "store's container", "persist", "persist's container", "of its own name", "rs"],
)
def test_D1_something_new_is_whole_before_it_is_listed(
    tmp_path: Path, layout: str, container_id: str, wanted: list[str]
) -> None:
    """Kata lists the configuration: that tree is made last, each of them in one step."""
    if container_id:
        make(layout, tmp_path)
    wish: dict[str, Any] = {"container_id": container_id, "documents": documents(layout, container_id)}
    plan = planned(item_of(layout, tmp_path, **wish), tmp_path)
    assert (plan.action, plan.note, lines(plan.changes, tmp_path)) == ("created", "", wanted)
    trees = [change for change in plan.changes if isinstance(change, MakeTree)]
    told = {document.role for tree in trees for document in tree.documents}
    assert told == set(documents(layout, container_id))


def test_each_document_goes_into_its_own_tree(tmp_path: Path) -> None:
    plan = planned(item_of("kata_store", tmp_path, documents=SANDBOX["kata_store"]), tmp_path)
    files = {
        change.role: [file.name for file in change.tree.files]
        for change in plan.changes
        if isinstance(change, MakeTree)
    }
    assert files == {"state": ["lock", "state.json"], "config": ["lock", "config.json"]}


@pytest.mark.parametrize("layout", KATA)
def test_promise_1_what_is_there_and_means_the_same_needs_nothing(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    for document in (tmp_path / STATE[layout]).rglob("*.json"):
        document.write_text(json.dumps(json.loads(document.read_bytes()), indent=1, sort_keys=True) + "\n")
    wishes: list[dict[str, Any]] = [{"documents": SANDBOX[layout]}, {}]
    for wish in wishes:
        plan = planned(item_of(layout, tmp_path, **wish), tmp_path)
        assert (plan.action, plan.changes, plan.note) == ("unchanged", (), "")


def _without(*names: str) -> Callable[[Path], None]:
    def remove(host: Path) -> None:
        for name in names:
            path = host / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


CONF = f"{CONFIG}/{NAME}"
# How a partial store is completed (R9, K1, K12): what is missing, whether documents are given, the changes, and what
# is said of what is still missing then.
PARTIAL: list[tuple[str, Callable[[Path], None], list[str], list[str], str]] = [
    ("lock", _without(f"{RUN}/lock"), [f"+lock {RUN}/lock"], [], ""),
    ("raw", _without(f"{RUN}/raw"), [f"+raw {RUN}/raw"], [], ""),
    (
        "lock and raw of both",
        _without(f"{RUN}/lock", f"{RUN}/raw", f"{CONF}/lock", f"{CONF}/raw"),
        [f"+raw {RUN}/raw", f"+lock {RUN}/lock", f"+raw {CONF}/raw", f"+lock {CONF}/lock"],
        [],
        "",
    ),
    ("config.json", _without(f"{CONF}/config.json"), [], [f"+config {CONF}/config.json"], f"{CONF}/config.json"),
    ("state.json", _without(f"{RUN}/state.json"), [], [f"+state {RUN}/state.json"], f"{RUN}/state.json"),
    ("config tree", _without(CONF), [f"+config {CONF}"], [], f"{CONF}/config.json"),
    ("state tree", _without(RUN), [f"+state {RUN}"], [], f"{RUN}/state.json"),
    (
        "lock and config.json",
        _without(f"{RUN}/lock", f"{CONF}/config.json"),
        [f"+lock {RUN}/lock"],
        [f"+config {CONF}/config.json"],
        f"{CONF}/config.json",
    ),
]


@pytest.mark.parametrize("given", [True, False], ids=["documents", "none"])
@pytest.mark.parametrize(
    ("harm", "always", "with_documents", "lacking"), [row[1:] for row in PARTIAL], ids=[row[0] for row in PARTIAL]
)
def test_K1_K12_a_partial_store_is_completed(
    tmp_path: Path,
    harm: Callable[[Path], None],
    always: list[str],
    with_documents: list[str],
    lacking: str,
    given: bool,
) -> None:
    make("kata_store", tmp_path)
    whole = listing(tmp_path)
    harm(tmp_path)
    wish: dict[str, Any] = {"documents": SANDBOX["kata_store"]} if given else {}
    plan = planned(item_of("kata_store", tmp_path, **wish), tmp_path)
    assert lines(plan.changes, tmp_path) == [*always, *(with_documents if given else [])]
    assert plan.action == ("updated" if plan.changes else "unchanged")
    assert plan.note == (
        f"{tmp_path}/{lacking} is missing. Give documents.{Path(lacking).stem} to write it."
        if lacking and not given
        else ""
    )
    outcome = take("kata_store", tmp_path, **wish)
    assert outcome.error is None and outcome.plan.note == plan.note
    if given or not lacking:
        assert listing(tmp_path).keys() == whole.keys()
    again = planned(item_of("kata_store", tmp_path, **wish), tmp_path)
    assert again.changes == () and again.note == plan.note


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize(
    "data", [b"", b'{"cut":', b"[]", b"\xff", b"null"], ids=["empty", "cut", "list", "bytes", "null"]
)
def test_P2_K3_a_torn_document_is_told_and_written_again_when_it_is_given(
    tmp_path: Path, layout: str, data: bytes
) -> None:
    state = make(layout, tmp_path)
    name = "persist" if layout == "kata_persist" else "state"
    put(state / f"{name}.json", data)
    told = planned(item_of(layout, tmp_path), tmp_path)
    assert told.changes == () and told.note.startswith(f"{state}/{name}.json: it is ")
    assert told.note.endswith(f"Give documents.{name} to write it again.")
    assert take(layout, tmp_path, documents=SANDBOX[layout]).action == "updated"
    assert json.loads((state / f"{name}.json").read_bytes()) == SANDBOX[layout][name]


def test_RS5_a_jailed_state_is_written_where_it_is_read(tmp_path: Path) -> None:
    state = make("kata_rs", tmp_path)
    jailed = put(state / "root" / "state.json", SANDBOX["kata_rs"]["state"])
    (state / "state.json").unlink()
    plan = planned(item_of("kata_rs", tmp_path), tmp_path)
    assert plan.changes == ()
    assert take("kata_rs", tmp_path, documents=SANDBOX["kata_rs"]).action == "updated"
    assert (state / "state.json").exists() and jailed.exists()
    assert take("kata_rs", tmp_path, documents=SANDBOX["kata_rs"]).action == "unchanged"


def test_raw_items_go_into_the_state_tree_and_get_a_url(tmp_path: Path) -> None:
    wish: dict[str, Any] = {"documents": SANDBOX["kata_store"], "raw_items": {"a": "text", "": "other"}}
    item = item_of("kata_store", tmp_path, **wish)
    planned(item, tmp_path)
    raw = f"{tmp_path}/{RUN}/raw"
    urls = item.described()["raw_items"]
    assert urls["a"] == f"file://{raw}/a" and urls[""].startswith(f"file://{raw}/raw-")
    assert take("kata_store", tmp_path, **wish).action == "created"
    assert (Path(raw) / "a").read_text() == "text" and Path(urls[""][len("file://") :]).read_text() == "other"
    assert take("kata_store", tmp_path, **wish).action == "unchanged"
    assert "raw_items" not in item_of("kata_store", tmp_path).described()


def test_K7_raw_items_of_a_container_lie_in_its_own_directory(tmp_path: Path) -> None:
    make("kata_store", tmp_path, containers=("app-1",))
    shutil.rmtree(tmp_path / RUN / "app-1" / "raw")
    assert take("kata_store", tmp_path, container_id="app-1", raw_items={"a": "x"}).action == "updated"
    assert (tmp_path / RUN / "app-1/raw/a").read_text() == "x"


# what is refused


def refused(tmp_path: Path, kind: type[StateError], layout: str, asserted: bool = True, **wish: Any) -> str:
    """The message of a plan that is refused, which changes nothing in check mode and in the run."""
    before = listing(tmp_path)
    with pytest.raises(kind) as caught:
        planned(item_of(layout, tmp_path, **wish), tmp_path, asserted)
    assert error_of(take(layout, tmp_path, asserted=asserted, **wish), kind) == str(caught.value)
    assert listing(tmp_path) == before
    return str(caught.value)


@pytest.mark.parametrize("layout", KATA)
def test_something_new_needs_its_documents(tmp_path: Path, layout: str) -> None:
    first = next(iter(SANDBOX[layout]))
    text = refused(tmp_path, InvalidInput, layout)
    assert text == f"it does not exist, and there is nothing to make it from. Give documents.{first}."
    if layout == "kata_store":
        text = refused(tmp_path, InvalidInput, layout, documents={"config": {}})
        assert text.endswith("Give documents.state.")


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("name", ["x", "web_", "web..1", "-web", "ä1", "a" * 77, "a b", ".web"])
def test_R8_a_new_name_must_suit_every_runtime(tmp_path: Path, layout: str, name: str) -> None:
    refused(tmp_path, InvalidInput, layout, sandbox_id=name, documents={key: {} for key in SANDBOX[layout]})


@pytest.mark.parametrize("layout", WITH_CONTAINERS)
def test_a_container_needs_its_sandbox(tmp_path: Path, layout: str) -> None:
    wish: dict[str, Any] = {"container_id": "app-1", "documents": CONTAINER[layout]}
    text = refused(tmp_path, InvalidInput, layout, **wish)
    assert text == f"sandbox '{NAME}' does not exist. Make it first; one task with sandboxes can do both."
    if layout == "kata_store":  # the configuration alone is no sandbox that something could be put into
        put(tmp_path / CONF / "config.json", {})
        assert refused(tmp_path, InvalidInput, layout, **wish) == text
    assert planned(item_of(layout, tmp_path, with_sandbox=True, **wish), tmp_path).action == "created"


@pytest.mark.parametrize("layout", KATA)
def test_fail_if_exists(tmp_path: Path, layout: str) -> None:
    wish: dict[str, Any] = {"documents": SANDBOX[layout], "fail_if_exists": True}
    assert take(layout, tmp_path, **wish).action == "created"
    text = refused(tmp_path, AlreadyExists, layout, **wish)
    assert text == "it exists already. Nothing was changed. Remove it, or leave fail_if_exists out."


def test_fail_if_exists_counts_half_a_sandbox_and_no_tombstone(tmp_path: Path) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    (tmp_path / f"run/vc/.sbx-del.{NAME}.0123456789abcdef").mkdir()
    wish: dict[str, Any] = {"documents": SANDBOX["kata_store"], "fail_if_exists": True}
    assert planned(item_of("kata_store", tmp_path, **wish), tmp_path).action == "created"
    (tmp_path / CONF).mkdir(parents=True)
    refused(tmp_path, AlreadyExists, "kata_store", **wish)


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("options", [{}, {"force": True}, {"stop_processes": True}], ids=["plain", "force", "stop"])
def test_F3_a_live_sandboxs_documents_are_never_written(tmp_path: Path, layout: str, options: dict[str, Any]) -> None:
    make(layout, tmp_path)
    changed = {key: {**value, "more": 1} for key, value in SANDBOX[layout].items()}
    share = tmp_path / "run/kata-containers/shared/sandboxes" / NAME
    with titled("virtiofsd", f"--shared-dir={share}/shared", "--fd=3") as child:
        text = refused(tmp_path, InUse, layout, documents=changed, **options)
        assert take(layout, tmp_path, documents=SANDBOX[layout], **options).action == "unchanged"
    assert text.startswith(f"Sandbox '{NAME}' ({layout}) is in use: virtiofsd (pid {child.pid}, running since ")
    assert text.endswith("serves its files. Stop the container first. Nothing was changed.")


def test_K1_a_missing_lock_of_a_live_sandbox_is_made(tmp_path: Path) -> None:
    """Every call of its shim fails without; and an empty file takes nothing from anybody."""
    state = make("kata_store", tmp_path)
    (state / "lock").unlink()
    with titled("virtiofsd", "-o", f"source={tmp_path}/run/kata-containers/shared/sandboxes/{NAME}"):
        assert take("kata_store", tmp_path).action == "updated"
    assert (state / "lock").exists()


@pytest.mark.parametrize("layout", KATA)
def test_something_new_beside_a_machine_that_still_runs_is_refused(tmp_path: Path, layout: str) -> None:
    """Its state is gone, and a new one would be a lie about the machine."""
    share = tmp_path / "run/kata-containers/shared/sandboxes" / NAME
    with titled("virtiofsd", f"--shared-dir={share}/shared", "--fd=3"):
        text = error_of(take(layout, tmp_path, documents=SANDBOX[layout]), InUse)
    assert "is in use" in text and not (tmp_path / STATE[layout] / NAME).exists()


def test_something_new_beside_a_socket_with_a_listener_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kata#2805: a new sandbox could not bind."""
    (tmp_path / "run/vc/vm" / NAME).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run/vc/vm" / NAME)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("qmp.sock")
        listener.listen()
        text = refused(tmp_path, InUse, "kata_persist", documents=SANDBOX["kata_persist"])
    assert f"somebody listens on {tmp_path}/run/vc/vm/{NAME}/qmp.sock" in text


@pytest.mark.parametrize("layout", KATA)
def test_A2_a_change_needs_the_sight_of_all_processes_and_something_new_does_not(tmp_path: Path, layout: str) -> None:
    assert take(layout, tmp_path, asserted=False, documents=SANDBOX[layout]).action == "created"
    changed = {key: {**value, "more": 1} for key, value in SANDBOX[layout].items()}
    text = refused(tmp_path, NotProved, layout, asserted=False, documents=changed)
    assert "it may still have an owner: sees_all_processes=false" in text and "force=true" in text
    assert take(layout, tmp_path, asserted=False, force=True, documents=changed).action == "updated"


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("kind", ["file", "link"])
def test_promise_5_what_is_no_directory_is_not_written_into(tmp_path: Path, layout: str, kind: str) -> None:
    place = state_of(layout, tmp_path)
    (tmp_path / "else").mkdir()
    place.parent.mkdir(parents=True)
    place.touch() if kind == "file" else place.symlink_to(tmp_path / "else")
    before = listing(tmp_path)
    for force in (False, True):
        text = error_of(take(layout, tmp_path, force=force, documents=SANDBOX[layout]), Unreadable)
        assert text == f"{place}: it is no directory. Nothing was changed. Remove it first."
    assert listing(tmp_path) == before


@support.needs_root
@pytest.mark.parametrize("place", ["", "raw"])
def test_R4_what_is_mounted_in_it_is_not_written_to(tmp_path: Path, place: str) -> None:
    state = make("kata_store", tmp_path)
    (tmp_path / "data").mkdir()

    def inside() -> None:
        support.bind(str(tmp_path / "data"), str(state / place))
        text = error_of(take("kata_store", tmp_path, documents=SANDBOX["kata_store"], raw_items={"a": "x"}), Mounted)
        assert "something is mounted in it" in text and "Unmount it first. Nothing was changed." in text
        assert os.listdir(tmp_path / "data") == []

    support.in_private_namespace(inside)
