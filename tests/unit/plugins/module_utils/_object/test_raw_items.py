# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Write, diff_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.raw_items import RawItems

SECRET = "hunter2-of-nobody"


@pytest.fixture
def raw(tmp_path: Path) -> Directory:
    (tmp_path / "raw").mkdir()
    return Directory(-1, str(tmp_path / "raw"))


def written(raw: Directory, wanted: dict[str, str], owner: str = "web-1/") -> list[Write]:
    """What is to be written, and then is."""
    changes = list(RawItems(wanted, owner).writes(raw))
    for change in changes:
        change.make(durable=False)
    return changes


def contents(raw: Directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(raw.path).iterdir()}


def test_an_item_has_the_name_and_text_that_was_given(raw: Directory) -> None:
    (change,) = written(raw, {"a-name": "a text\n"})
    assert contents(raw) == {"a-name": b"a text\n"}
    assert (change.role, change.sign, change.mode) == ("raw", "+", 0o644)
    assert RawItems({"a-name": "x"}, "web-1/").urls(raw) == {"a-name": f"file://{raw.path}/a-name"}
    assert written(raw, {"a-name": "a text\n"}) == []


def test_an_item_that_differs_is_replaced_and_others_are_left(raw: Directory) -> None:
    written(raw, {"a": "one", "b": "two"})
    (change,) = written(raw, {"a": "three", "b": "two"})
    assert (change.name, change.sign) == ("a", "~") and contents(raw) == {"a": b"three", "b": b"two"}


@pytest.mark.parametrize("text", ["", "\0\x01", "ä€\U0001f600", "\udcff", "x" * 100_000])
def test_any_text_is_kept_byte_for_byte(raw: Directory, text: str) -> None:
    written(raw, {"a": text})
    assert contents(raw) == {"a": text.encode("utf-8", "surrogateescape")}
    assert written(raw, {"a": text}) == []


def test_an_item_without_a_name_gets_one_like_katas(raw: Directory) -> None:
    """ioutil.TempFile of Go: raw- and ten digits, mode 0600."""
    items = RawItems({"": "text"}, "web-1/")
    (change,) = list(items.writes(raw))
    assert re.fullmatch(r"raw-[0-9]{10}", change.name) and change.mode == 0o600
    assert items.urls(raw) == {"": f"file://{raw.path}/{change.name}"}


def test_promise_1_the_made_up_name_is_the_same_in_check_mode_and_in_a_second_run(raw: Directory) -> None:
    (told,) = list(RawItems({"": "text"}, "web-1/").writes(raw))
    (done,) = written(raw, {"": "text"})
    assert told == done and written(raw, {"": "text"}) == []
    again = RawItems({"": "text"}, "web-1/")
    assert list(again.writes(raw)) == [] and again.urls(raw) == {"": f"file://{raw.path}/{done.name}"}


def test_made_up_names_differ_by_text_and_by_owner(raw: Directory) -> None:
    owners, texts = ("web-1/", "web-1/app-1", "web-2/"), ("one", "two")
    names = {next(RawItems({"": text}, owner).writes(raw)).name for owner in owners for text in texts}
    assert len(names) == 6


def test_a_made_up_name_never_writes_over_somebody_elses_item(raw: Directory) -> None:
    (first,) = list(RawItems({"": "text"}, "web-1/").writes(raw))
    taken = Path(raw.path, first.name)
    taken.write_bytes(b"theirs")
    (second,) = written(raw, {"": "text"})
    assert second.name != first.name and taken.read_bytes() == b"theirs"
    assert written(raw, {"": "text"}) == [], "and it is found again behind the one that is taken"


def test_promise_8_no_text_is_in_a_diff(raw: Directory) -> None:
    written(raw, {"old": SECRET})
    changes = list(RawItems({"old": f"{SECRET}!", "new": SECRET, "": SECRET}, "web-1/").writes(raw))
    shown = str(diff_of(tuple(changes), "Sandbox"))
    assert len(changes) == 3 and SECRET not in shown and f'"bytes": {len(SECRET) + 1}' in shown


def test_U7_another_text_of_the_same_length_is_told_in_the_diff(raw: Directory) -> None:
    written(raw, {"a": "one"})
    (diff,) = diff_of(tuple(RawItems({"a": "two"}, "web-1/").writes(raw)), "Sandbox")
    assert diff["before"] != diff["after"] and "(changed)" in diff["after"]
    assert "one" not in str(diff) and "two" not in str(diff)


def test_a_directory_that_is_not_there_yet_has_no_items(tmp_path: Path) -> None:
    missing = Directory(-1, str(tmp_path / "none"))
    (change,) = list(RawItems({"a": "x"}, "web-1/").writes(missing))
    assert change.sign == "+" and not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_promise_7_what_is_no_file_in_an_items_place_is_unreadable(raw: Directory, kind: str) -> None:
    place = Path(raw.path, "a")
    place.mkdir() if kind == "directory" else place.symlink_to("elsewhere")
    with pytest.raises(Unreadable, match="it is not a plain file"):
        list(RawItems({"a": "x"}, "web-1/").writes(raw))
