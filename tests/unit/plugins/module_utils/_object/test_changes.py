# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import ChangedMeanwhile
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import (
    AddLock,
    Remove,
    Stop,
    Unmount,
    Write,
    diff_of,
    lines_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_changes import MoveMapping


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with open_given(str(tmp_path)) as opened:
        yield opened


def identity(path: Path) -> tuple[int, int]:
    return (path.lstat().st_dev, path.lstat().st_ino)


def write(directory: Directory, old: Any, new: Any, replaces: bool = True) -> Write:
    return Write("state", directory, "a", json.dumps(new).encode(), 0o640, replaces, old, new)


def test_D8_the_same_entry_is_removed(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    change = Remove("state", directory, "a", identity(tmp_path / "a"))
    assert change.make() is True and change.make() is False
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "only looked at"])
def test_D8_another_entry_of_the_same_name_is_kept(directory: Directory, tmp_path: Path, is_open: bool) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    place = directory if is_open else Directory(-1, directory.path)
    change = Remove("state", place, "a", identity(tmp_path / "a"))
    os.rename(tmp_path / "b", tmp_path / "a")
    with pytest.raises(ChangedMeanwhile, match=f"{tmp_path}/a: it was replaced"):
        change.make()
    assert (tmp_path / "a").exists()


def test_an_entry_of_a_directory_that_was_only_looked_at(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").touch()
    change = Remove("filestore", Directory(-1, str(tmp_path / "d")), "a", identity(tmp_path / "d" / "a"))
    assert change.make() is True
    (tmp_path / "d").rmdir()
    assert change.make() is False


def test_a_lock_that_is_held_is_removed_whatever_its_number(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert Remove("lock", directory, "a", None).make() is True


def test_plans_that_were_made_at_different_times_are_equal(tmp_path: Path) -> None:
    with open_given(str(tmp_path)) as one, open_given(str(tmp_path)) as two:
        assert write(one, {"a": 1}, {"a": 2}) == write(two, {"a": 1}, {"a": 2})
        assert write(one, {"a": 1}, {"a": 2}) != write(two, {"a": 1}, {"a": 3})
        assert (
            Remove("state", one, "a", (1, 2)) == Remove("state", two, "a", (1, 2)) != Remove("state", two, "a", (1, 3))
        )


def test_the_diff_of_a_new_object_lists_it_and_shows_its_document(directory: Directory) -> None:
    listing, document = diff_of((AddLock(directory, "a.lock"), write(directory, None, {"b": 1}, False)), "Sandbox 'a'")
    assert listing == {
        "before_header": "Sandbox 'a'",
        "after_header": "Sandbox 'a'",
        "before": "",
        "after": f"lock      {directory.path}/a.lock\nstate     {directory.path}/a\n",
    }
    assert document["before"] == "" and document["after"] == '{\n  "b": 1\n}\n'


def test_the_diff_of_a_removal_lists_all_that_goes(directory: Directory) -> None:
    changes = (
        Stop(7, 1, "runsc-sandbox (pid 7)"),
        Unmount("/m"),
        Remove("state", directory, "a", (1, 2)),
        Remove("lock", directory, "b", None),
    )
    (diff,) = diff_of(changes, "label")
    assert diff["after"] == ""
    assert diff["before"].splitlines() == [
        "process   runsc-sandbox (pid 7)",
        "mount     /m",
        f"state     {directory.path}/a",
        f"lock      {directory.path}/b",
    ]


def test_the_diff_of_an_update_shows_the_document_alone(directory: Directory) -> None:
    (diff,) = diff_of((write(directory, {"a": 1}, {"a": 2}),), "label")
    assert (diff["before"], diff["after"]) == ('{\n  "a": 1\n}\n', '{\n  "a": 2\n}\n')


def test_a_corrupt_document_has_no_before(directory: Directory) -> None:
    (diff,) = diff_of((write(directory, None, {"a": 2}),), "label")
    assert diff["before"] == ""


def test_promise_8_the_diff_is_masked_and_still_tells_of_a_changed_secret(directory: Directory) -> None:
    (diff,) = diff_of((write(directory, {"env": ["A=old-secret"]}, {"env": ["A=new-secret"]}),), "label")
    assert "secret" not in diff["before"] + diff["after"]
    assert diff["before"] != diff["after"]


def test_nothing_to_do_has_no_diff() -> None:
    assert diff_of((), "label") == []


def test_lines_of_many_items_say_what_is_written(directory: Directory) -> None:
    changes = (
        Remove("state", directory, "a", (1, 2)),
        Remove("lock", directory, "b", None),
        write(directory, {"a": 1}, {"a": 2}),
        AddLock(directory, "c"),
    )
    before, after = lines_of(changes, " (written)")
    at = directory.path
    assert before == [f"state     {at}/a", f"lock      {at}/b", f"state     {at}/a"]
    assert after == [f"state     {at}/a (written)", f"lock      {at}/c"]


def test_C4_another_directory_of_a_containers_name_is_not_moved(directory: Directory) -> None:
    Path(directory.path, "app-1", "old").mkdir(parents=True)
    with pytest.raises(ChangedMeanwhile, match="it was replaced"):
        MoveMapping(directory, "app-1", (0, 0), ("old",), "new").make()
    assert os.listdir(f"{directory.path}/app-1") == ["old"]
