# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from itertools import combinations
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
    unpack,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_sandbox_state import (
    ABSENT,
    Options,
    call,
    of_container,
    of_sandbox,
    ok,
    two,
)

MARK = "0123456789abcdef"


# byte for byte


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
def test_R3_what_is_made_is_what_kata_1_8_writes(tmp_path: Path, umask: int) -> None:
    """Names, modes and bytes of two trees, from their documents alone; and all of it is read back as the same."""
    sample, host = tmp_path / "sample", tmp_path / "host"
    unpack("kata-store-1.8.0", sample)
    for folder, mode in (("", 0o755), ("run", 0o750), ("var", 0o750), ("var/lib", 0o750)):
        (host / folder).mkdir()
        (host / folder).chmod(mode)
    entries = [
        {
            "sandbox_id": SID,
            **({"container_id": inside} if inside else {}),
            "documents": documents_in(sample / CONFIG / SID / inside, sample / "run/vc/sbs" / SID / inside),
        }
        for inside in ("", CID)
    ]
    before = os.umask(umask)
    try:
        told = ok(call(host, "kata_store", True, sandboxes=entries))
        done = ok(call(host, "kata_store", sandboxes=entries))
    finally:
        os.umask(before)
    assert done.actions == ["created", "created"] and told.value["diff"] == done.value["diff"]
    assert listing(host) == listing(sample)
    assert ok(call(host, "kata_store", sandboxes=entries)).value["changed"] is False
    assert ok(call(sample, "kata_store", sandboxes=entries)).value["changed"] is False


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
def test_R3_what_is_made_is_what_kata_3_2_writes(tmp_path: Path, umask: int) -> None:
    sample, host = tmp_path / "sample", tmp_path / "host"
    unpack("kata-persist-3.2.0", sample)
    (host / "run").mkdir(parents=True)
    (host / "run").chmod(0o755)
    inner = [{"sandbox_id": SID, "container_id": name, "documents": documents_in(sample / "run/vc/sbs" / SID / name)}
             for name in (CID, SID)]  # fmt: skip
    entries = [*inner, {"sandbox_id": SID, "documents": documents_in(sample / "run/vc/sbs" / SID)}]
    before = os.umask(umask)
    try:
        done = ok(call(host, "kata_persist", sandboxes=entries))
    finally:
        os.umask(before)
    assert done.actions == ["created"] * 3 and listing(host) == listing(sample)
    assert ok(call(host, "kata_persist", sandboxes=entries)).value["changed"] is False
    assert ok(call(sample, "kata_persist", sandboxes=entries)).value["changed"] is False


def test_RS4_what_is_made_for_the_rust_runtime(tmp_path: Path) -> None:
    document = {"sandbox_type": "virt_container", "hypervisor": {"pid": 0, "id": "web-1", "jailed": False}}
    ok(call(tmp_path, "kata_rs", sandbox_id="web-1", documents={"state": document}))
    state = tmp_path / "run/kata/web-1/state.json"
    assert state.read_bytes() == json.dumps(document, indent=2, sort_keys=True).encode()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (state.parent.parent, state.parent, state)]
    assert modes == [0o750, 0o750, 0o644]


# check mode, run, second run


def nothing(host: Path, layout: str) -> None:
    assert host.is_dir() and layout


def whole(host: Path, layout: str) -> None:
    make(layout, host, containers=() if layout == "kata_rs" else ("app-1", "app-2"))


def torn(host: Path, layout: str) -> None:
    whole(host, layout)
    for document in host.rglob("*.json"):
        document.write_bytes(document.read_bytes()[:7])


def empty_directory(host: Path, layout: str) -> None:
    state_of(layout, host).mkdir(parents=True)


def surrounded(host: Path, layout: str) -> None:
    whole(host, layout)
    put(host / SHARE / NAME / "mounts" / "x")
    put(host / VM / NAME / "pid", b"4194399")


def tombstone(host: Path, layout: str) -> None:
    place = (host / STATE[layout]).parent
    (host / STATE[layout]).mkdir(parents=True)
    put(place / f".sbx-del.{NAME}.{MARK}" / "state.json")


CASES: dict[str, tuple[Callable[[Path, str], None], Callable[[str], Options], list[str]]] = {
    "create": (nothing, of_sandbox, ["created"]),
    "create where a tombstone is": (tombstone, of_sandbox, ["created"]),
    "update": (whole, lambda layout: of_sandbox(layout, more=1), ["updated"]),
    "repair": (torn, of_sandbox, ["updated"]),
    "complete": (empty_directory, of_sandbox, ["updated"]),
    "unchanged": (whole, of_sandbox, ["unchanged"]),
    "unchanged without documents": (whole, lambda _layout: {"sandbox_id": NAME}, ["unchanged"]),
    "delete": (whole, lambda _layout: ABSENT, ["deleted"]),
    "delete what is torn": (torn, lambda _layout: ABSENT, ["deleted"]),
    "delete what is empty": (empty_directory, lambda _layout: ABSENT, ["deleted"]),
    "delete with what surrounds it": (surrounded, lambda _layout: ABSENT, ["deleted"]),
    "finish a delete": (tombstone, lambda _layout: ABSENT, ["deleted"]),
    "absent of nothing": (nothing, lambda _layout: ABSENT, ["unchanged"]),
    "a list": (
        two,
        lambda _layout: {**ABSENT, "sandbox_id": [f"{NAME}-2", "other", NAME]},
        ["deleted", "unchanged", "deleted"],
    ),
    "an empty list": (two, lambda _layout: {**ABSENT, "sandbox_id": []}, []),
    "entries": (
        whole,
        lambda layout: {
            "sandboxes": [
                of_sandbox(layout),
                json.loads(json.dumps(of_sandbox(layout)).replace(NAME, f"{NAME}-2")),
            ]
        },
        ["unchanged", "created"],
    ),
    "no entries, absent": (two, lambda _layout: {"sandboxes": [], "state": "absent"}, []),
}
CONTAINER_CASES: dict[str, tuple[Callable[[Path, str], None], Callable[[str], Options], list[str]]] = {
    "a container": (lambda host, layout: void(make(layout, host)), of_container, ["created"]),
    "a container that is there": (whole, of_container, ["unchanged"]),
    "a container's repair": (torn, of_container, ["updated"]),
    "absent of a container": (whole, lambda _layout: {**ABSENT, "container_id": "app-1"}, ["deleted"]),
    "absent of no container": (whole, lambda _layout: {**ABSENT, "container_id": "app-9"}, ["unchanged"]),
    "absent of a container of nothing": (nothing, lambda _layout: {**ABSENT, "container_id": "app-1"}, ["unchanged"]),
    "a sandbox and its container": (
        nothing,
        lambda layout: {"sandboxes": [of_sandbox(layout), of_container(layout)]},
        ["created", "created"],
    ),
    "a container and its sandbox": (
        nothing,
        lambda layout: {"sandboxes": [of_container(layout), of_sandbox(layout)]},
        ["created", "created"],
    ),
    "absent of a sandbox and its container": (
        whole,
        lambda _layout: {
            "state": "absent",
            "sandboxes": [{"sandbox_id": NAME}, {"sandbox_id": NAME, "container_id": "app-1"}],
        },
        ["deleted", "deleted"],
    ),
    "absent of two containers": (
        whole,
        lambda _layout: {
            "state": "absent",
            "sandboxes": [{"sandbox_id": NAME, "container_id": name} for name in ("app-1", "app-2")],
        },
        ["deleted", "deleted"],
    ),
}


def void(_value: object) -> None:
    """For a table of functions that return nothing."""


def check_twice(host: Path, layout: str, case: Any) -> None:
    prepare, options_of, actions = case
    prepare(host, layout)
    options = options_of(layout)
    before = listing(host)
    told = ok(call(host, layout, True, **options))
    assert listing(host) == before, "check mode changes nothing"
    done = ok(call(host, layout, **options))
    again = ok(call(host, layout, **options))
    assert done.actions == actions
    for key in ("changed", "diff", "sandboxes"):
        assert told.value[key] == done.value[key], key
    assert done.value["changed"] is (set(actions) - {"unchanged"} != set())
    assert bool(done.value["diff"]) is done.value["changed"]
    assert (again.value["changed"], again.value["diff"], set(again.actions) - {"unchanged"}) == (False, [], set())
    if not done.value["changed"]:
        assert listing(host) == before
    assert list(host.rglob(".sbx-*")) == [], "nothing hidden is left"


@pytest.mark.long
@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("case", CASES)
def test_promise_1_check_mode_tells_what_the_run_does_and_a_second_run_does_nothing(
    tmp_path: Path, layout: str, case: str
) -> None:
    check_twice(tmp_path, layout, CASES[case])


@pytest.mark.long
@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
@pytest.mark.parametrize("case", CONTAINER_CASES)
def test_promise_1_U2_U3_the_same_for_containers(tmp_path: Path, layout: str, case: str) -> None:
    check_twice(tmp_path, layout, CONTAINER_CASES[case])


STORE_PARTS = ["lock", "raw", "state.json"]


@pytest.mark.long
@pytest.mark.parametrize("wanted", ["present", "absent"])
@pytest.mark.parametrize("gone", [parts for size in range(1, 4) for parts in combinations(STORE_PARTS, size)])
def test_R9_K1_every_subset_of_a_stores_state_tree(tmp_path: Path, wanted: str, gone: tuple[str, ...]) -> None:
    state = make("kata_store", tmp_path)
    complete = listing(tmp_path)
    for name in gone:
        path = state / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    options = of_sandbox("kata_store") if wanted == "present" else ABSENT
    told, done = call(tmp_path, "kata_store", True, **options), ok(call(tmp_path, "kata_store", **options))
    assert done.actions == ["updated" if wanted == "present" else "deleted"]
    assert told.value["diff"] == done.value["diff"]
    assert ok(call(tmp_path, "kata_store", **options)).actions == ["unchanged"]
    if wanted == "present":
        assert listing(tmp_path).keys() == complete.keys()
    else:
        assert not state.exists() and not (tmp_path / CONFIG / NAME).exists()


# diffs


def test_the_diff_of_a_new_sandbox_lists_its_trees_and_shows_its_documents(tmp_path: Path) -> None:
    result = ok(call(tmp_path, "kata_store", True, **of_sandbox("kata_store")))
    first, *documents = result.value["diff"]
    assert (first["before"], first["before_header"]) == ("", f"Sandbox '{NAME}' (kata_store)")
    assert first["after"] == f"state     {tmp_path}/run/vc/sbs/{NAME}\nconfig    {tmp_path}/{CONFIG}/{NAME}\n"
    assert [one["after_header"] for one in documents] == [
        f"{tmp_path}/run/vc/sbs/{NAME}/state.json",
        f"{tmp_path}/{CONFIG}/{NAME}/config.json",
    ]
    assert all(one["before"] == "" for one in documents) and f'"ID": "{NAME}"' in documents[1]["after"]


def test_the_diff_of_a_delete_lists_all_that_goes_and_no_contents(tmp_path: Path) -> None:
    surrounded(tmp_path, "kata_persist")
    (diff,) = ok(call(tmp_path, "kata_persist", True, **ABSENT)).value["diff"]
    assert diff["after"] == "" and diff["before"].splitlines() == [
        f"share     {tmp_path}/{SHARE}/{NAME}",
        f"vm        {tmp_path}/{VM}/{NAME}",
        f"state     {tmp_path}/run/vc/sbs/{NAME}",
    ]


def test_the_paths_of_the_result(tmp_path: Path) -> None:
    """What it has, what it had, and what it would have."""
    trees = [f"{tmp_path}/{CONFIG}/{NAME}", f"{tmp_path}/run/vc/sbs/{NAME}"]
    for options in (ABSENT, of_sandbox("kata_store"), of_sandbox("kata_store"), ABSENT, ABSENT):
        (entry,) = ok(call(tmp_path, "kata_store", **options)).value["sandboxes"]
        assert sorted(entry["paths"]) == sorted(trees)
        assert (entry["sandbox_id"], entry["layout"], "container_id" in entry) == (NAME, "kata_store", False)


def test_above_100_sandboxes_the_diff_is_one_listing(tmp_path: Path) -> None:
    names = [f"{NAME}-{number}" for number in range(101)]
    for name in names:
        (tmp_path / "run/vc/sbs" / name).mkdir(parents=True)
    told = ok(call(tmp_path, "kata_persist", True, sandbox_id=names, state="absent"))
    done = ok(call(tmp_path, "kata_persist", sandbox_id=names, state="absent"))
    (diff,) = done.value["diff"]
    assert told.value["diff"] == done.value["diff"] and diff["before"].count("state     ") == 101
    assert os.listdir(tmp_path / "run/vc/sbs") == []


# raw items


def test_raw_items_are_returned_as_urls_and_found_again(tmp_path: Path) -> None:
    make("kata_store", tmp_path)
    options: Options = {"sandbox_id": NAME, "raw_items": {"a": "one", "": "two"}}
    told, done = call(tmp_path, "kata_store", True, **options), ok(call(tmp_path, "kata_store", **options))
    assert (told.msg, done.msg) == ("1 sandbox would be updated.", "1 sandbox updated.")
    assert told.value == {**done.value, "invocation": told.value["invocation"], "msg": told.msg}
    (entry,) = done.value["sandboxes"]
    raw = f"{tmp_path}/run/vc/sbs/{NAME}/raw"
    made_up = entry["raw_items"][""]
    assert entry["raw_items"]["a"] == f"file://{raw}/a" and made_up.startswith(f"file://{raw}/raw-")
    assert Path(raw, "a").read_text() == "one" and Path(made_up[len("file://") :]).read_text() == "two"
    again = ok(call(tmp_path, "kata_store", **options))
    assert again.actions == ["unchanged"] and again.value["sandboxes"][0]["raw_items"] == entry["raw_items"]
    assert sorted(os.listdir(raw)) == ["a", os.path.basename(made_up)]


def test_raw_items_of_entries_and_containers(tmp_path: Path) -> None:
    entries = [
        {**of_sandbox("kata_store"), "raw_items": {"a": "sandbox"}},
        {**of_container("kata_store"), "raw_items": {"a": "container"}},
    ]
    assert ok(call(tmp_path, "kata_store", sandboxes=entries)).actions == ["created"] * 2
    raw = tmp_path / "run/vc/sbs" / NAME
    assert (raw / "raw/a").read_text() == "sandbox" and (raw / "app-1/raw/a").read_text() == "container"


def test_promise_7_other_raw_items_stay(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    put(state / "raw" / "theirs", b"\xff\x00")
    ok(call(tmp_path, "kata_store", sandbox_id=NAME, raw_items={"a": "x"}))
    assert (state / "raw" / "theirs").read_bytes() == b"\xff\x00"
