# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    CONFIG,
    CONTAINER,
    KATA,
    NAME,
    SANDBOX,
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


def call(host: Path, layout: str, check_mode: bool = False, **options: Any) -> Result:
    base = {"layout": layout, "host_root": str(host), "sees_all_processes": True, "lock_timeout": 0.2, "durable": False}
    return run("sandbox_state", {**base, **options}, check_mode)


def ok(result: Result) -> Result:
    assert not result.failed, result.msg
    return result


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


def two(host: Path, layout: str) -> None:
    make(layout, host)
    make(layout, host, f"{NAME}-2")


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


Options = dict[str, Any]


def of_sandbox(layout: str, **more: Any) -> Options:
    return {"sandbox_id": NAME, "documents": {name: {**content, **more} for name, content in SANDBOX[layout].items()}}


def of_container(layout: str) -> Options:
    return {"sandbox_id": NAME, "container_id": "app-1", "documents": CONTAINER[layout]}


ABSENT: Options = {"sandbox_id": NAME, "state": "absent"}
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
    assert told.value == {**done.value, "invocation": told.value["invocation"]}
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


# refusals, as a user reads them


def refusal(host: Path, layout: str, **options: Any) -> str:
    """The message of a task that is refused in check mode and in the run alike, and changes nothing."""
    before = listing(host)
    told, done = call(host, layout, True, **options), call(host, layout, **options)
    assert told.failed and done.failed and told.msg == done.msg, (told.msg, done.msg)
    assert done.value.get("changed") in (False, None) and listing(host) == before
    assert done.msg.count("..") == 0 and done.msg.endswith((".", '"'))
    return done.msg


@pytest.mark.parametrize("layout", KATA)
def test_refusals_of_something_new(tmp_path: Path, layout: str) -> None:
    label = f"Sandbox '{NAME}' ({layout})"
    first = next(iter(SANDBOX[layout]))
    assert refusal(tmp_path, layout, sandbox_id=NAME) == (
        f"{label}: it does not exist, and there is nothing to make it from. Give documents.{first}."
    )
    key, inside = {
        "kata_store": ("ID", {"ID": "other"}),
        "kata_persist": ("SandboxContainer", {"SandboxContainer": "other"}),
        "kata_rs": ("hypervisor.id", {"hypervisor": {"id": "other"}}),
    }[layout]
    documents = {**SANDBOX[layout], first: inside}
    assert refusal(tmp_path, layout, sandbox_id=NAME, documents=documents) == (
        f"{label}: documents.{first}: its {key} is 'other', and it is for '{NAME}'. Make the two the same."
    )
    assert refusal(tmp_path, layout, sandbox_id="a__b", documents=SANDBOX[layout]) == (
        f"Sandbox 'a__b' ({layout}): sandbox_id: 'a__b' cannot be the name of something new. A new name has 2 to 76 "
        "letters (A-Z, a-z) and digits, with single '.', '_' or '-' between them: what every runtime accepts."
    )


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_refusals_of_a_container(tmp_path: Path, layout: str) -> None:
    assert refusal(tmp_path, layout, **of_container(layout)) == (
        f"Container 'app-1' of sandbox '{NAME}' ({layout}): sandbox '{NAME}' does not exist. Make it first; one task "
        "with sandboxes can do both."
    )


def test_refusals_of_documents_of_the_wrong_level(tmp_path: Path) -> None:
    make("kata_store", tmp_path, containers=("app-1",))
    assert refusal(tmp_path, "kata_store", sandbox_id=NAME, documents={"process": {"Pid": 1}}) == (
        f"Sandbox '{NAME}' (kata_store): documents.process: a sandbox has no such document, only a container has. "
        "Leave it out."
    )
    assert refusal(tmp_path, "kata_store", sandbox_id=NAME, container_id="app-1", documents={"agent": {}}) == (
        f"Container 'app-1' of sandbox '{NAME}' (kata_store): documents.agent: a container has no such document, only "
        "a sandbox has. Leave it out."
    )
    assert refusal(
        tmp_path, "kata_store", sandbox_id=NAME, documents={"devices": [{"ID": "d", "ContainerPath": "/"}]}
    ) == (
        f"Sandbox '{NAME}' (kata_store): documents.devices[0]: a sandbox's device has Type and Data, and this one has "
        "no Type. Give the list of the right level."
    )


@pytest.mark.parametrize("layout", KATA)
def test_refusals_of_a_live_sandbox(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    label = f"Sandbox '{NAME}' ({layout}) is in use: virtiofsd (pid "
    with titled("virtiofsd", f"--shared-dir={tmp_path}/{SHARE}/{NAME}/shared", "--fd=3") as child:
        text = refusal(tmp_path, layout, **ABSENT)
        assert text.startswith(f"{label}{child.pid}, running since ") and text.endswith(
            ") serves its files. Stop the container first, or set stop_processes=true to stop it here."
        )
        assert refusal(tmp_path, layout, **ABSENT, force=True) == text, "force never overrides a live owner"
        text = refusal(tmp_path, layout, **of_sandbox(layout, more=1))
        assert text.endswith(") serves its files. Stop the container first. Nothing was changed.")
        assert ok(call(tmp_path, layout, **of_sandbox(layout))).actions == ["unchanged"]


@pytest.mark.parametrize("layout", KATA)
def test_refusals_of_what_is_not_proved(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    assert refusal(tmp_path, layout, **ABSENT, sees_all_processes=False) == (
        f"Sandbox '{NAME}' ({layout}): it may still have an owner: sees_all_processes=false says that some processes "
        "are not visible here. Run as root if you did not; set force=true only if you know that it is dead. Nothing "
        "was removed."
    )
    (tmp_path / f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{NAME}").mkdir(parents=True)
    assert "its engine may still know it: the bundle " in refusal(tmp_path, layout, **ABSENT)
    put(tmp_path / SHARE / NAME / "x")
    text = refusal(tmp_path, layout, **ABSENT, force=True)
    assert text.startswith(
        f"Sandbox '{NAME}' ({layout}): {tmp_path}/{SHARE}/{NAME} belongs to it, and it is not proved "
    )
    assert text.endswith("force does not override this. Nothing was removed.")


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", ".")])
def test_refusals_of_a_locked_sandbox_do_not_stop_the_others(tmp_path: Path, layout: str, name: str) -> None:
    two(tmp_path, layout)
    state = state_of(layout, tmp_path)

    def hold() -> None:
        fcntl.flock(os.open(state / name, os.O_RDONLY), fcntl.LOCK_EX)

    with support.another_process(hold) as pid:
        result = call(tmp_path, layout, sandbox_id=[NAME, f"{NAME}-2"], state="absent")
    assert result.actions == ["failed", "deleted"] and result.value["changed"] is True
    path = f"{state}/lock" if name == "lock" else str(state)
    assert result.msg.startswith(f"1 of 2 sandboxes failed, 1 changed. Sandbox '{NAME}' ({layout}): the lock {path} is")
    assert f"(pid {pid}, running since " in result.msg and "this task has waited 0.2 s" in result.msg
    assert state.exists() and not state_of(layout, tmp_path, f"{NAME}-2").exists()


@pytest.mark.parametrize("layout", KATA)
def test_fail_if_exists(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    assert refusal(tmp_path, layout, **of_sandbox(layout), fail_if_exists=True) == (
        f"Sandbox '{NAME}' ({layout}): it exists already. Nothing was changed. Remove it, or leave fail_if_exists out."
    )


@pytest.mark.parametrize(
    ("layout", "options", "text"),
    [
        (
            "gvisor",
            {"sandbox_id": "ab", "config_root": "/x"},
            "config_root: gvisor has no such directory. Leave it out.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "config_root": "/x"},
            "config_root: kata_persist has no such directory. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "ab", "config_root": "/x"},
            "config_root: kata_rs has no such directory. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "ab", "container_id": "c"},
            "container_id: kata_rs keeps nothing for single containers. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "firecracker", "state": "absent"},
            "sandbox_id: 'firecracker' is the runtime's own directory, and no sandbox. Give a sandbox's name.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "ab", "documents": {"persist": {}}},
            "documents.persist: kata_rs has no such document. It has state.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "documents": {"config": {}}},
            "documents.config: kata_persist has no such document. It has persist.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "documents": {"persist": {}}},
            (
                "documents.persist: kata_store has no such document. It has config, state, network, hypervisor, "
                "agent, process, mounts, devices."
            ),
        ),
        (
            "gvisor",
            {"sandbox_id": "ab", "documents": {"config": {}}},
            "documents.config: gvisor has no such document. It has state.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "raw_items": {"a": "b"}},
            "raw_items: kata_persist has no raw items, only kata_store has. Leave it out.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"../x": "b"}},
            "raw_items: '../x' is not a name. A name is not empty, '.' or '..', and has no '/'.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"a": 7}},
            "raw_items.a: it is a int, not a text. Quote it.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"a": "b"}, "state": "absent"},
            "raw_items: there is nothing to write with state=absent. Leave it out.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "documents": {"config": {}}, "state": "absent"},
            "documents: there is nothing to write with state=absent. Leave it out.",
        ),
        (
            "kata_store",
            {"sandbox_id": 83},
            (
                "sandbox_id: 83 is a number, not a name (YAML reads an unquoted 0123 as 83). Quote it: "
                'sandbox_id: "0123".'
            ),
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "container_id": 5},
            (
                "container_id: 5 is a number, not a name (YAML reads an unquoted 0123 as 83). Quote it: "
                'container_id: "0123".'
            ),
        ),
        (
            "kata_store",
            {"sandboxes": [{"sandbox_id": "ab"}, {"sandbox_id": True}]},
            'sandboxes[1].sandbox_id: True is a boolean, not a name. Quote it: sandboxes[1].sandbox_id: "yes".',
        ),
        (
            "kata_store",
            {"sandboxes": [{"sandbox_id": "ab"}, {"sandbox_id": "ab"}]},
            "sandboxes: 'ab' is there twice. Give it once.",
        ),
        (
            "kata_store",
            {"sandbox_id": ["ab", "cd"]},
            "sandbox_id: several ids share everything only with state=absent. Give a list of entries as sandboxes.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "../../x", "state": "absent"},
            "sandbox_id: '../../x' is not a name. A name is not empty, '.' or '..', and has no '/'.",
        ),
        (
            "kata_store",
            {},
            "sandbox_id: it is missing. Give sandbox_id, or a list of entries as sandboxes.",
        ),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, layout: str, options: Options, text: str) -> None:
    result = call(tmp_path, layout, **options)
    assert result.failed and result.msg == text
    assert "sandboxes" not in result.value and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sandbox_id": "ab", "raw_items": {}, "sandboxes": []}, "mutually exclusive"),
        ({"sandbox_id": "ab", "documents": {"mounts": {}}}, "mounts"),
        ({"sandbox_id": "ab", "documents": {"unknown": {}}}, "unknown"),
        ({"sandbox_id": "ab", "layout": "kata"}, "layout"),
    ],
)
def test_options_that_ansible_refuses(tmp_path: Path, options: Options, words: str) -> None:
    result = call(tmp_path, **{"layout": "kata_store", **options})
    assert result.failed and words in result.msg and list(tmp_path.iterdir()) == []


# secrets


def with_secrets(layout: str) -> Options:
    process = {"Args": ["run", f"--password={SECRET}", "--token", SECRET], "Envs": [{"Var": "DB", "Value": SECRET}]}
    more = {"Cmd": process, "Annotations": {"api_key": SECRET}, "Process": {"Token": SECRET, "env": [f"A={SECRET}"]}}
    return of_sandbox(layout, **more)


RAW: Options = {"raw_items": {"a": SECRET, "": SECRET}}
LEAKS: dict[str, tuple[str, Options]] = {
    **{layout: (layout, with_secrets(layout)) for layout in KATA},
    "raw items": ("kata_store", {**of_sandbox("kata_store"), **RAW}),
    "raw items of an entry": ("kata_store", {"sandboxes": [{**of_sandbox("kata_store"), **RAW}]}),
    "raw items of a wrong layout": ("kata_rs", {**of_sandbox("kata_rs"), **RAW}),
    "raw items and nothing to make it from": ("kata_store", {"sandbox_id": NAME, **RAW}),
    "raw items, absent": ("kata_store", {**ABSENT, **RAW}),
    "raw items as a list": ("kata_store", {**of_sandbox("kata_store"), "raw_items": [SECRET]}),
    "raw items as a text": ("kata_store", {**of_sandbox("kata_store"), "raw_items": SECRET}),
    "raw items as key=value": ("kata_store", {**of_sandbox("kata_store"), "raw_items": f"a={SECRET}"}),
    "raw items of an entry as a list": ("kata_store", {"sandboxes": [{"sandbox_id": NAME, "raw_items": [SECRET]}]}),
    "raw items as lists": ("kata_store", {**of_sandbox("kata_store"), "raw_items": {"a": [SECRET]}}),
    "raw items, an unknown option": ("kata_store", {**of_sandbox("kata_store"), **RAW, "unknown": 1}),
    "raw items, no host": ("kata_store", {**of_sandbox("kata_store"), **RAW, "host_root": "/none/at/all"}),
    "another sandbox's": ("kata_persist", {**with_secrets("kata_persist"), "sandbox_id": "other"}),
    "the wrong layout": ("gvisor", with_secrets("kata_persist")),
}


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
@pytest.mark.parametrize("case", LEAKS)
def test_promise_8_secrets_never_leave(tmp_path: Path, case: str, check_mode: bool) -> None:
    """Neither in the result, the diff and the invocation, nor in the system's log; also when the task is refused."""
    layout, options = LEAKS[case]
    result = call(tmp_path, layout, check_mode, **options)
    assert SECRET not in result.text and SECRET not in result.logged
    assert "module_args" in result.value["invocation"]
    if not result.failed:
        assert NAME in result.logged, "there is a log line to look at"
        assert "********" in json.dumps(result.value["diff"])


@pytest.mark.parametrize("layout", KATA)
def test_promise_8_a_change_of_a_secret_is_told_without_it(tmp_path: Path, layout: str) -> None:
    ok(call(tmp_path, layout, **with_secrets(layout)))
    wanted = json.loads(json.dumps(with_secrets(layout)).replace(SECRET, "changed-value"))
    result = ok(call(tmp_path, layout, **wanted))
    assert result.actions == ["updated"] and "(changed)" in json.dumps(result.value["diff"])
    assert SECRET not in result.text and "changed-value" not in result.text + result.logged


def test_U7_promise_8_a_change_of_a_raw_item_is_told_without_it(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    put(state / "raw" / "a", SECRET.encode())
    result = ok(call(tmp_path, "kata_store", sandbox_id=NAME, raw_items={"a": SECRET[::-1]}))
    (diff,) = result.value["diff"]
    assert diff["before"] != diff["after"]
    assert SECRET not in result.text + result.logged and SECRET[::-1] not in result.text + result.logged


# what the runtimes do wrong


def test_K2_absent_of_a_sandbox_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    """Merely asking Kata for the status makes both trees."""
    for layout in KATA:
        for check_mode in (True, False):
            assert ok(call(tmp_path, layout, check_mode, **ABSENT)).actions == ["unchanged"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@support.needs_root
@pytest.mark.parametrize("layout", KATA)
def test_K3_K4_P1_a_full_file_system_keeps_the_old_document_and_the_sandbox(tmp_path: Path, layout: str) -> None:
    """Kata leaves an empty or cut document (K3, K4), or removes the whole sandbox (P1)."""

    def inside() -> None:
        support.run("mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path))
        state = make(layout, tmp_path)
        before = listing(tmp_path)
        changed = of_sandbox(layout, more="x" * 400_000)
        result = call(tmp_path, layout, **changed)
        assert result.failed and "No space left on device. The old content is kept." in result.msg
        assert listing(tmp_path) == before and result.value["changed"] is False
        new = json.loads(json.dumps(changed).replace(NAME, f"{NAME}-2"))
        result = call(tmp_path, layout, **new)
        assert result.failed and "No space left on device. Nothing of it was kept." in result.msg
        assert listing(tmp_path) == before and state.exists()

    support.in_private_namespace(inside)


def test_K8_nothing_outside_the_roots_is_reached_by_a_name(tmp_path: Path) -> None:
    victim = put(tmp_path / "run" / "victim" / "data", b"x")
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    for name in ("../../victim", "..", ".", "/", "sbs/../../../run/victim"):
        for state in ("present", "absent"):
            result = call(tmp_path, "kata_persist", sandbox_id=name, state=state)
            assert result.failed and "is not a name" in result.msg
    assert victim.exists()


def test_P3_directories_of_others_inside_a_sandbox_stay(tmp_path: Path) -> None:
    """Kata's save removes each one that it does not know."""
    state = make("kata_persist", tmp_path, containers=("app-1",))
    theirs = put(state / "somebody" / "else", b"x")
    assert ok(call(tmp_path, "kata_persist", **of_sandbox("kata_persist", more=1))).actions == ["updated"]
    assert theirs.read_bytes() == b"x" and (state / "app-1/persist.json").exists()


@pytest.mark.parametrize("layout", ["kata_persist", "kata_rs"])
def test_P6_a_shorter_document_leaves_nothing_of_the_old_one(tmp_path: Path, layout: str) -> None:
    ok(call(tmp_path, layout, **of_sandbox(layout, more="x" * 5000)))
    ok(call(tmp_path, layout, **of_sandbox(layout)))
    (document,) = state_of(layout, tmp_path).glob("*.json")
    assert json.loads(document.read_bytes()) == next(iter(SANDBOX[layout].values()))


def test_R3_a_replaced_document_is_a_new_file_and_no_other_name_is_left(tmp_path: Path) -> None:
    """K3, P2, RS4: the runtimes truncate it in place. A reader that has it open keeps the old one, whole."""
    for layout in KATA:
        state = make(layout, tmp_path / layout)
        (document, *_others) = sorted(state.glob("*.json"))
        names = sorted(os.listdir(state))
        with open(document, "rb") as reader:
            old = document.read_bytes()
            ok(call(tmp_path / layout, layout, **of_sandbox(layout, more=1)))
            assert reader.read() == old != document.read_bytes()
        assert sorted(os.listdir(state)) == names


@support.needs_root
@pytest.mark.parametrize("layout", ["kata_rs", "kata_persist"])
def test_RS1_S2_data_behind_a_mount_in_the_share_is_never_reached(tmp_path: Path, layout: str) -> None:
    """The Rust runtime deletes rw without unmounting, the Go one what failed to unmount: host data goes."""
    support.write(f"{tmp_path}/data/precious", "x")
    host = tmp_path / "host"
    make(layout, host)
    volume = host / SHARE / NAME / ("rw" if layout == "kata_rs" else "mounts") / "passthrough" / "volume"
    volume.mkdir(parents=True)
    before = support.checksum(f"{tmp_path}/data")

    def inside() -> None:
        support.bind(f"{tmp_path}/data", str(volume))
        text = refusal(host, layout, **ABSENT, force=True)
        assert "there is 1 mount on it or below (" in text
        assert text.endswith("Set on_mounted=unmount to unmount first. Nothing was changed.")
        assert ok(call(host, layout, True, **ABSENT, on_mounted="unmount")).actions == ["deleted"]
        assert ok(call(host, layout, **ABSENT, on_mounted="unmount")).actions == ["deleted"]

    support.in_private_namespace(inside)
    assert support.checksum(f"{tmp_path}/data") == before and not (host / SHARE / NAME).exists()


def test_RS2_a_pid_file_with_a_reused_pid_is_no_owner_and_gets_no_signal(tmp_path: Path) -> None:
    state = make("kata_rs", tmp_path)
    with titled("a-bystander") as child:
        put(state / "root" / "virtiofsd.sock.pid", f"{child.pid}\n".encode())
        assert ok(call(tmp_path, "kata_rs", **ABSENT, stop_processes=True)).actions == ["deleted"]
        assert child.poll() is None


def test_RS5_absent_takes_the_jail_and_leaves_those_of_others(tmp_path: Path) -> None:
    make("kata_rs", tmp_path)
    for name in (NAME, "other"):
        put(tmp_path / "run/kata/firecracker" / name / "root" / "state.json", {})
    assert ok(call(tmp_path, "kata_rs", **ABSENT)).actions == ["deleted"]
    assert os.listdir(tmp_path / "run/kata/firecracker") == ["other"]
    assert os.listdir(tmp_path / "run/kata") == ["firecracker"]


# roots


def test_rootless_roots_are_given(tmp_path: Path) -> None:
    """$XDG_RUNTIME_DIR/run/vc (kata-persist.md); what surrounds a sandbox is beside it."""
    run_root = tmp_path / "user" / "1000" / "run" / "vc"
    share = tmp_path / "user/1000/run/kata-containers/shared/sandboxes" / NAME
    options = {**of_sandbox("kata_persist"), "run_root": str(run_root)}
    assert ok(call(tmp_path, "kata_persist", **options)).actions == ["created"]
    assert (run_root / "sbs" / NAME / "persist.json").exists()
    put(share / "x")
    assert ok(call(tmp_path, "kata_persist", **ABSENT, run_root=str(run_root))).actions == ["deleted"]
    assert not share.exists() and os.listdir(run_root / "sbs") == []


def test_both_trees_of_the_store_can_be_elsewhere(tmp_path: Path) -> None:
    roots: Options = {"run_root": str(tmp_path / "a"), "config_root": str(tmp_path / "b")}
    assert ok(call(tmp_path, "kata_store", **of_sandbox("kata_store"), **roots)).actions == ["created"]
    assert (tmp_path / "a/sbs" / NAME / "state.json").exists() and (tmp_path / "b/sbs" / NAME / "config.json").exists()
    assert ok(call(tmp_path, "kata_store", **ABSENT, **roots)).actions == ["deleted"]
    assert os.listdir(tmp_path / "a/sbs") == os.listdir(tmp_path / "b/sbs") == []


def test_promise_5_an_image_is_cleaned_and_the_live_host_is_left_alone(tmp_path: Path) -> None:
    image, live = tmp_path / "image", tmp_path / "live"
    for host in (image, live):
        make("kata_persist", host)
        put(host / SHARE / NAME / "data")
    shutil.move(image / "run", image / "really-run")
    (image / "run").symlink_to("/really-run")
    before = listing(live)
    assert ok(call(image, "kata_persist", **ABSENT)).actions == ["deleted"]
    assert os.listdir(image / "really-run/vc/sbs") == [] and not (image / "really-run" / SHARE[4:] / NAME).exists()
    (image / "run").unlink()
    (image / "run").symlink_to(os.path.relpath(live / "run", image))
    result = call(image, "kata_persist", **ABSENT)
    assert result.failed and "leads out of" in result.msg and listing(live) == before
