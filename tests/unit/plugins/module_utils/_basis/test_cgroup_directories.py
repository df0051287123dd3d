# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided by the files of a cgroup, on plain directories; tests/integration has real cgroups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories, cgroup_population
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse, Unreadable, WriteFailed


def put(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def test_D7_v2_says_for_all_below_whether_a_process_is_there(tmp_path: Path) -> None:
    full = put(tmp_path / "full", cgroup_events="populated 1\nfrozen 0\n", cgroup_procs="")
    empty = put(tmp_path / "empty", cgroup_events="populated 0\nfrozen 1\n", cgroup_procs="")
    assert cgroup_population.is_populated(str(full))
    assert not cgroup_population.is_populated(str(empty))


def test_D7_v1_is_asked_for_each_below(tmp_path: Path) -> None:
    put(tmp_path / "web-1", tasks="", cgroup_procs="")
    assert not cgroup_population.is_populated(str(tmp_path / "web-1"))
    put(tmp_path / "web-1" / "inner", tasks="4711\n", cgroup_procs="")
    assert cgroup_population.is_populated(str(tmp_path / "web-1"))


def test_one_that_is_not_there_is_empty_and_nothing_to_remove(tmp_path: Path) -> None:
    assert not cgroup_population.is_populated(str(tmp_path / "gone"))
    assert not cgroup_population.exists(str(tmp_path / "gone"))
    assert not cgroup_directories.remove(str(tmp_path / "gone"))


def test_what_cannot_be_looked_at_is_not_taken_for_absent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreadable):
        cgroup_population.exists(str(tmp_path / "file" / "web-1"))


def test_CG1_it_goes_by_rmdir_deepest_first_and_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "web-1" / "a" / "b").mkdir(parents=True)
    (tmp_path / "web-1" / "c").mkdir()
    assert cgroup_directories.remove(str(tmp_path / "web-1"))
    assert list(tmp_path.iterdir()) == []
    kept = put(tmp_path / "web-2", notes="somebody's")
    with pytest.raises(InUse, match="somebody has come into this cgroup"):
        cgroup_directories.remove(str(kept))
    assert (kept / "notes").read_text() == "somebody's"


def test_what_was_made_is_told_and_can_be_taken_back(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    made = cgroup_directories.make(str(tmp_path / "there" / "a" / "b"))
    assert made == [str(tmp_path / "there" / "a"), str(tmp_path / "there" / "a" / "b")]
    assert cgroup_directories.make(str(tmp_path / "there" / "a")) == []
    cgroup_directories.take_back(made)
    assert list((tmp_path / "there").iterdir()) == []


def test_one_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed):
        cgroup_directories.make(str(tmp_path / "a" / ("x" * 300)))
    assert list(tmp_path.iterdir()) == []


def test_D7_a_child_that_goes_meanwhile_says_nothing_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual machine's cgroups go one by one while it ends."""
    top = put(tmp_path / "web-1", cgroup_procs="4711\n")
    going = tmp_path / "web-1" / "vcpu"
    walk = os.walk

    def walked(path: str, **how: Any) -> list[Any]:
        going.mkdir(exist_ok=True)
        found = list(walk(path, **how))
        going.rmdir()
        return found

    monkeypatch.setattr(os, "walk", walked)
    assert cgroup_population.is_populated(str(top))
    (top / "cgroup.procs").unlink()
    assert not cgroup_population.is_populated(str(top))
    assert cgroup_directories.remove(str(top)) and not top.exists()
