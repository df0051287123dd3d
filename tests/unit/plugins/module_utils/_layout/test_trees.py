# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import FILE_NAME_BYTES
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import tombstone_name
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Reading
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CONFIG,
    KATA,
    NAME,
    STATE,
    VM,
    layout_of,
    make,
    put,
    read,
    roots_of,
    state_of,
)

MARK = "0123456789abcdef"
NEEDS_NO_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def names_of(layout: str, host: Path) -> list[str]:
    with roots_of(layout, host) as roots:
        return sorted(layout_of(layout).sandboxes_of(roots))


# names


@pytest.mark.parametrize("layout", KATA)
def test_what_is_listed_is_each_sandbox_once(tmp_path: Path, layout: str) -> None:
    assert names_of(layout, tmp_path) == []
    for name in ("b", "a", "c d"):
        make(layout, tmp_path, name, containers=() if layout == "kata_rs" else ("inner",))
    put(tmp_path / STATE[layout] / "a-file")
    assert names_of(layout, tmp_path) == ["a", "a-file", "b", "c d"]


def test_K12_one_tree_of_two_is_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / CONFIG / "left-by-a-reboot").mkdir(parents=True)
    (tmp_path / STATE["kata_store"] / "left-by-a-delete").mkdir(parents=True)
    assert names_of("kata_store", tmp_path) == ["left-by-a-delete", "left-by-a-reboot"]


def above(layout: str, host: Path) -> Path:
    return (host / STATE[layout]).parent


TOMBSTONES = {
    f".sbx-del.web-1.{MARK}": "web-1",
    f".sbx-del.a.b.{MARK}": "a.b",
    f".sbx-del.a@b.{MARK}": "a@b",
    f".sbx-del.web-1.{MARK.upper()}": "",
    f".sbx-del.web-1.{MARK[1:]}": "",
    f".sbx-del..{MARK}": "",
    f"sbx-del.web-1.{MARK}": "",
    ".web-1": "",
    "web-1": "",
}


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize(("name", "sandbox_id"), TOMBSTONES.items(), ids=TOMBSTONES)
def test_D2_only_names_with_our_suffix_are_tombstones(tmp_path: Path, layout: str, name: str, sandbox_id: str) -> None:
    """They lie beside the listed directory, where neither Kata nor kata-monitor looks."""
    (tmp_path / STATE[layout]).mkdir(parents=True)
    (above(layout, tmp_path) / name).mkdir()
    assert names_of(layout, tmp_path) == ([sandbox_id] if sandbox_id else [])
    if sandbox_id:
        (part,) = read(layout, tmp_path, sandbox_id).parts
        assert (part.role, part.path) == ("tombstone", f"{above(layout, tmp_path)}/{name}")
        assert read(layout, tmp_path, sandbox_id + "x").parts == ()


def test_D1_each_tree_has_its_tombstones_on_its_own_file_system(tmp_path: Path) -> None:
    make("kata_store", tmp_path)
    for folder in ("var/lib/vc", "run/vc"):
        (tmp_path / folder / f".sbx-del.{NAME}.{MARK}").mkdir()
    reading = read("kata_store", tmp_path)
    assert [(part.role, os.path.dirname(part.path)) for part in reading.parts] == [
        ("tombstone", f"{tmp_path}/var/lib/vc"),
        ("tombstone", f"{tmp_path}/run/vc"),
        ("config", f"{tmp_path}/{CONFIG}"),
        ("state", f"{tmp_path}/run/vc/sbs"),
    ]
    assert reading.missing == ()


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("letter", ["a", "ä"])
def test_a_name_that_could_not_be_hidden_is_refused(layout: str, letter: str) -> None:
    """Otherwise it could be made and never removed: the hidden name is longer."""
    kata = layout_of(layout)
    room = FILE_NAME_BYTES - len(tombstone_name(""))
    longest = letter * (room // len(letter.encode()))
    kata.check_length(longest, longest)
    with pytest.raises(InvalidInput, match=r"while it is removed its name would have .* A file name has at most 255"):
        kata.check_length(longest + letter, longest + letter)
    kata.check_length("s1", "c" * FILE_NAME_BYTES)  # what is left of a container has the sandbox's name


# reading


@pytest.mark.parametrize("layout", KATA)
def test_nothing_there_is_nothing_read(tmp_path: Path, layout: str) -> None:
    assert read(layout, tmp_path) == Reading(NAME)
    (tmp_path / STATE[layout]).mkdir(parents=True)
    assert read(layout, tmp_path) == Reading(NAME)


@pytest.mark.parametrize("layout", KATA)
def test_what_surrounds_it_is_read_also_where_its_state_is_gone(tmp_path: Path, layout: str) -> None:
    share = tmp_path / "run/kata-containers/shared/sandboxes" / NAME
    share.mkdir(parents=True)
    reading = read(layout, tmp_path)
    assert [(part.role, part.path) for part in reading.parts] == [("share", str(share))]
    assert reading.missing == ()


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "fifo"])
def test_promise_7_what_is_no_directory_is_there_and_unknown(tmp_path: Path, layout: str, kind: str) -> None:
    place = state_of(layout, tmp_path)
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.touch()
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        other = tmp_path / "else"
        if kind == "link":
            put(other / "state.json", {"hypervisor": {"pid": 5}})
            put(other / "persist.json", {"HypervisorState": {"Pid": 5}})
        place.symlink_to(other)
    reading = read(layout, tmp_path)
    assert [part.role for part in reading.parts] == ["state"]
    assert reading.problems == (f"{place} is no directory",)
    assert reading.documents == () and reading.containers == ()


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_R6_a_link_in_a_containers_place_is_no_container(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path)
    put(tmp_path / "else" / "persist.json", {"Process": {"Pid": 5}})
    put(tmp_path / "else" / "process.json", {"Pid": 5})
    (state / "app-1").symlink_to(tmp_path / "else")
    reading = read(layout, tmp_path)
    assert reading.containers == () and layout_of(layout).recorded_processes(reading) == []


@pytest.mark.parametrize("layout", KATA)
def test_B6_a_document_that_is_no_file_is_a_problem_and_hides_nothing(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path)
    name = "persist.json" if layout == "kata_persist" else "state.json"
    (state / name).unlink()
    os.mkfifo(state / name)
    (found,) = [one for one in read(layout, tmp_path).documents if one.name == name[:-5]]
    assert (found.readable, found.problem) == (False, "it is not a plain file")


@NEEDS_NO_ROOT
@pytest.mark.parametrize("layout", KATA)
def test_promise_7_a_closed_directory_is_a_problem_of_its_sandbox(tmp_path: Path, layout: str) -> None:
    state = make(layout, tmp_path)
    state.chmod(0)
    try:
        reading = read(layout, tmp_path)
    finally:
        state.chmod(0o755)
    assert any("cannot be read: Permission denied" in problem for problem in reading.problems) and reading.parts


@NEEDS_NO_ROOT
def test_promise_7_roots_that_cannot_be_listed_are_an_error(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    (tmp_path / "run/vc/sbs").chmod(0o300)
    try:
        with pytest.raises(Unreadable, match="cannot be listed"):
            names_of("kata_persist", tmp_path)
    finally:
        (tmp_path / "run/vc/sbs").chmod(0o755)


def test_sockets_at_every_level_are_listened_for(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path, containers=("app-1",))
    sockets = [state / "proxy.sock", state / "app-1" / "x.sock", tmp_path / VM / NAME / "qmp.sock"]
    for path in sockets:
        put(path)
    assert sorted(read("kata_store", tmp_path).sockets) == sorted(map(str, sockets))


def test_containers_of_both_trees_are_told_once(tmp_path: Path) -> None:
    make("kata_store", tmp_path, containers=("b", "a"))
    shutil.rmtree(tmp_path / CONFIG / NAME / "a")
    shutil.rmtree(state_of("kata_store", tmp_path) / "b")
    assert read("kata_store", tmp_path).containers == ("a", "b")


# a second reading


@pytest.mark.parametrize("layout", KATA)
def test_what_has_not_changed_is_not_read_again(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path, containers=() if layout == "kata_rs" else ("app-1",))
    kata = layout_of(layout)
    with roots_of(layout, tmp_path) as roots:
        first = kata.read(roots, NAME, kata.index(roots))
        second = kata.read(roots, NAME, kata.index(roots), first)
    assert second == first
    assert all(one is other for one, other in zip(first.documents, second.documents))


def _touch_lock(state: Path) -> None:
    (state / "new-entry").touch()


def _rewrite(state: Path) -> None:
    document = sorted(state.glob("*.json"))[0]
    document.write_bytes(document.read_bytes())


def _replace(state: Path) -> None:
    document = sorted(state.glob("*.json"))[0]
    os.replace(put(state.parent / ".tmp", document.read_bytes()), document)


def _change_inner(state: Path) -> None:
    document = sorted(state.glob("app-1/*.json"))[0]
    document.write_bytes(b"{}")


def _remove_all(state: Path) -> None:
    shutil.rmtree(state)


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
@pytest.mark.parametrize("change", [_touch_lock, _rewrite, _replace, _change_inner, _remove_all])
def test_C4_what_has_changed_meanwhile_is_read_again(tmp_path: Path, layout: str, change: object) -> None:
    assert callable(change)
    state = make(layout, tmp_path, containers=("app-1",))
    kata = layout_of(layout)
    with roots_of(layout, tmp_path) as roots:
        first = kata.read(roots, NAME, kata.index(roots))
        os.utime(state, ns=(0, 0))  # the clock's steps are coarse; here every change makes a difference
        for document in state.rglob("*.json"):
            os.utime(document, ns=(0, 0))
        first = kata.read(roots, NAME, kata.index(roots))
        change(state)
        second = kata.read(roots, NAME, kata.index(roots), first)
        fresh = kata.read(roots, NAME, kata.index(roots))
    assert second == fresh and second != first


def test_C4_what_has_come_around_it_meanwhile_is_seen_without_reading_it_again(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    kata = layout_of("kata_persist")
    with roots_of("kata_persist", tmp_path) as roots:
        first = kata.read(roots, NAME, kata.index(roots))
        put(tmp_path / VM / NAME / "pid", b"4711")
        (tmp_path / "run/vc" / f".sbx-del.{NAME}.{MARK}").mkdir()
        (tmp_path / f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{NAME}").mkdir(parents=True)
        second = kata.read(roots, NAME, kata.index(roots), first)
        third = kata.read(roots, NAME, kata.index(roots), second)
        shutil.rmtree(tmp_path / VM)
        shutil.rmtree(tmp_path / "run/containerd")
        (tmp_path / "run/vc" / f".sbx-del.{NAME}.{MARK}").rmdir()
        fourth = kata.read(roots, NAME, kata.index(roots), third)
    assert [part.role for part in second.parts] == ["tombstone", "vm", "state"]
    assert [pid.pid for pid in second.pids] == [4711] and len(second.doubts) == 1
    assert third == second, "nothing is told twice"
    assert [part.role for part in fourth.parts] == ["state"] and fourth.doubts == ()


# locks


def lock_path(layout: str, host: Path) -> str:
    with roots_of(layout, host) as roots:
        place = layout_of(layout).lock_place(roots, NAME)
        return "" if place is None else f"{place.path}{'/' if place.is_directory else ''}"


def test_R1_the_lock_object_of_each_format(tmp_path: Path) -> None:
    """Kata 1.x: the file in the state tree, never that of the configuration; Go: the directory; Rust: none."""
    for layout in KATA:
        make(layout, tmp_path / layout)
    assert lock_path("kata_store", tmp_path / "kata_store") == f"{tmp_path}/kata_store/run/vc/sbs/{NAME}/lock"
    assert lock_path("kata_persist", tmp_path / "kata_persist") == f"{tmp_path}/kata_persist/run/vc/sbs/{NAME}/"
    assert lock_path("kata_rs", tmp_path / "kata_rs") == ""


@pytest.mark.parametrize("layout", KATA)
def test_R1_no_lock_is_ever_made_by_asking_for_it(tmp_path: Path, layout: str) -> None:
    (tmp_path / STATE[layout]).mkdir(parents=True)
    with roots_of(layout, tmp_path) as roots:
        place = layout_of(layout).lock_place(roots, NAME)
    assert place is None or place.create_mode is None
    assert os.listdir(tmp_path / STATE[layout]) == []


def test_B3_only_a_lock_that_the_runtime_waits_for_may_be_taken_by_a_reader() -> None:
    """1.7 to 1.10 take the directory's lock without waiting, and fail when a reader has it."""
    assert [layout_of(name).runtime_waits for name in KATA] == [True, False, True]


# the directories of one object


def test_D1_the_trees_of_a_sandbox_and_of_a_container_in_the_order_of_removal(tmp_path: Path) -> None:
    make("kata_store", tmp_path, containers=("app-1",))
    kata, reading = layout_of("kata_store"), read("kata_store", tmp_path)
    for container_id, inside in (("", ""), ("app-1", "/app-1")):
        assert [(part.role, part.path) for part in kata.trees_of(reading, container_id)] == [
            ("config", f"{tmp_path}/{CONFIG}/{NAME}{inside}"),
            ("state", f"{tmp_path}/run/vc/sbs/{NAME}{inside}"),
        ]
    assert kata.trees_of(reading, "none") == [] and kata.trees_of(Reading(NAME), "") == []
    shutil.rmtree(tmp_path / CONFIG / NAME / "app-1")
    left = kata.trees_of(read("kata_store", tmp_path), "app-1")
    assert [part.role for part in left] == ["state"]
    assert left[0].facts.inode == (state_of("kata_store", tmp_path) / "app-1").stat().st_ino
