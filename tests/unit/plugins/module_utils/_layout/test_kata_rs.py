# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import RecordedProcess
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    NAME,
    SANDBOX,
    layout_of,
    make,
    put,
    read,
    roots_of,
)

RS = layout_of("kata_rs")


def test_the_contract_in_numbers() -> None:
    (rule,) = RS.root_rules
    assert (rule.option, rule.default, rule.mode, rule.inside) == ("run_root", "/run/kata", 0o750, "")
    (tree,) = RS.trees
    assert (tree.mode, tree.directories, tree.files) == (0o750, (), ())
    (document,) = RS.documents
    assert (document.name, document.mode, document.newline) == ("state", 0o644, False)
    assert not RS.inherits_owner and not RS.raw_directory


def test_R1_it_has_no_lock_at_all(tmp_path: Path) -> None:
    make("kata_rs", tmp_path)
    with roots_of("kata_rs", tmp_path) as roots:
        assert RS.lock_place(roots, NAME) is None


def test_a_sandbox_with_its_jailer_root(tmp_path: Path) -> None:
    """root/ has sockets and pid files; it is part of the sandbox, and no container."""
    state = make("kata_rs", tmp_path)
    for name in ("virtiofsd.sock", "console.sock", "kata.hvsock", "other.txt"):
        put(state / "root" / name)
    put(state / "root" / "virtiofsd.sock.pid", b"4712\n")
    put(state / "shim-monitor.sock")
    reading = read("kata_rs", tmp_path)
    assert reading.containers == () and reading.missing == reading.problems == ()
    assert sorted(os.path.basename(path) for path in reading.sockets) == [
        "console.sock",
        "kata.hvsock",
        "shim-monitor.sock",
        "virtiofsd.sock",
    ]
    assert RS.recorded_processes(reading) == [RecordedProcess("virtiofsd", 4712, "")]
    assert [part.path for part in reading.parts] == [str(state)]


def test_V9_of_a_pid_file_with_an_old_rest_the_first_line_counts(tmp_path: Path) -> None:
    """virtiofsd does not truncate it: 47 over 4711 leaves "47\\n1"."""
    state = make("kata_rs", tmp_path)
    put(state / "root" / "virtiofsd.sock.pid", b"47\n1")
    assert RS.recorded_processes(read("kata_rs", tmp_path)) == [RecordedProcess("virtiofsd", 47, "")]


JAILS = ["root/state.json", "../firecracker/{}/root/state.json"]


@pytest.mark.parametrize("place", JAILS)
def test_RS5_a_jailed_state_is_found_where_it_is_written(tmp_path: Path, place: str) -> None:
    """Kata reads it from another place than it writes it to."""
    state = make("kata_rs", tmp_path)
    (state / "state.json").unlink()
    where = put(Path(os.path.normpath(state / place.format(NAME))), {"hypervisor": {"pid": 5}})
    reading = read("kata_rs", tmp_path)
    found = reading.document("state", "")
    assert found is not None and (found.path, found.problem) == (str(where), "")
    assert RS.recorded_processes(reading) == [RecordedProcess("hypervisor", 5, "")] and reading.missing == ()


@pytest.mark.parametrize("place", JAILS)
def test_RS5_its_own_place_comes_first(tmp_path: Path, place: str) -> None:
    state = make("kata_rs", tmp_path)
    put(Path(os.path.normpath(state / place.format(NAME))), {"hypervisor": {"pid": 5}})
    found = [one for one in read("kata_rs", tmp_path).documents if one.name == "state"]
    assert [one.path for one in found] == [f"{state}/state.json"] and found[0].content == SANDBOX["kata_rs"]["state"]


def test_RS5_another_sandboxs_jail_is_not_this_ones(tmp_path: Path) -> None:
    state = make("kata_rs", tmp_path)
    (state / "state.json").unlink()
    put(tmp_path / f"run/kata/firecracker/{NAME}0/root/state.json", {})
    assert read("kata_rs", tmp_path).missing == (f"{state}/state.json",)


@pytest.mark.parametrize("place", JAILS)
def test_RS5_a_link_in_the_place_of_a_jail_is_not_followed(tmp_path: Path, place: str) -> None:
    state = make("kata_rs", tmp_path)
    (state / "state.json").unlink()
    put(tmp_path / "else" / "state.json", {"hypervisor": {"pid": 5}})
    jail = Path(os.path.normpath(state / place.format(NAME))).parent
    jail.parent.mkdir(parents=True, exist_ok=True)
    jail.symlink_to(tmp_path / "else")
    reading = read("kata_rs", tmp_path)
    assert reading.document("state", "") is None
    assert any(str(jail) in problem and "it is no directory" in problem for problem in reading.problems)


def test_RS5_the_directory_of_all_jails_is_no_sandbox(tmp_path: Path) -> None:
    """absent of "firecracker" would remove the roots of all jailed machines."""
    make("kata_rs", tmp_path)
    (tmp_path / "run/kata/firecracker" / NAME / "root").mkdir(parents=True)
    with roots_of("kata_rs", tmp_path) as roots:
        assert list(RS.sandboxes_of(roots)) == [NAME]
    with pytest.raises(InvalidInput, match="'firecracker' is the runtime's own, and no sandbox"):
        check_known_name("firecracker", "sandbox_id", RS.names)
    assert [(part.role, part.path) for part in read("kata_rs", tmp_path).parts] == [
        ("jail", f"{tmp_path}/run/kata/firecracker/{NAME}"),
        ("state", f"{tmp_path}/run/kata/{NAME}"),
    ]


def test_RS9_letters_of_other_alphabets_can_be_removed(tmp_path: Path) -> None:
    """Its own check of ids takes them; no new sandbox gets such a name (R8)."""
    make("kata_rs", tmp_path, "bücher-äß")
    with roots_of("kata_rs", tmp_path) as roots:
        assert list(RS.sandboxes_of(roots)) == ["bücher-äß"]
    assert check_known_name("bücher-äß", "sandbox_id", RS.names) == "bücher-äß"
    assert read("kata_rs", tmp_path, "bücher-äß").parts
