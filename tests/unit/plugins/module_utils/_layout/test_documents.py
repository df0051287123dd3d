# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import MOST_BYTES, look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Document
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.documents import read_document


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with open_given(str(tmp_path)) as opened:
        yield opened


def read(directory: Directory, is_list: bool = False) -> Document:
    return read_document("state", directory, "state.json", "app", look(directory, "state.json"), is_list)


@pytest.mark.parametrize(
    ("data", "is_list", "content", "problem"),
    [
        (b'{"a":1}', False, {"a": 1}, ""),
        (b'{"a":1}\n', False, {"a": 1}, ""),
        (b"{}", False, {}, ""),
        (b"[]", True, [], ""),
        (b"[{}]\n", True, [{}], ""),
        (b"null", True, None, ""),
        (b"null", False, None, "it is no JSON object"),
        (b"[]", False, None, "it is no JSON object"),
        (b"{}", True, None, "it is no JSON list"),
        (b'"text"', True, None, "it is no JSON list"),
        (b"7", False, None, "it is no JSON object"),
        (b"", False, None, "it is empty (0 bytes)"),
        (b" \n", True, None, "it is empty (2 bytes)"),
        (b"\x00\x00", False, None, "it is not valid JSON"),
        (b'{"a":', False, None, "it is not valid JSON"),
        (b'{"a":1}x', False, None, "it is not valid JSON"),
        (b'{"a":"\xff"}', False, None, "it is not UTF-8 (at byte 6)"),
        (b"[" * 300 + b"]" * 300, True, None, "nested"),
    ],
)
def test_promise_7_what_a_document_says_and_what_is_wrong_with_it(
    directory: Directory, data: bytes, is_list: bool, content: Any, problem: str
) -> None:
    Path(directory.path, "state.json").write_bytes(data)
    found = read(directory, is_list)
    assert (found.name, found.container_id, found.path) == ("state", "app", f"{directory.path}/state.json")
    assert (found.content, found.readable, bool(found.problem)) == (content, True, bool(problem))
    assert problem in found.problem and found.facts == look(directory, "state.json")


def test_a_file_that_is_not_there_went_away(directory: Directory) -> None:
    found = read(directory)
    assert (found.readable, found.problem, found.facts) == (False, "it went away while it was read", None)


def test_promise_7_a_file_that_goes_away_after_it_was_looked_at_is_unknown(directory: Directory) -> None:
    path = Path(directory.path, "state.json")
    path.write_bytes(b"{}")
    facts = look(directory, "state.json")
    path.unlink()
    found = read_document("state", directory, "state.json", "", facts)
    assert (found.readable, found.problem, found.facts) == (False, "it went away while it was read", facts)


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling link"])
def test_B6_what_is_no_plain_file_is_unknown_and_never_waited_for(directory: Directory, kind: str) -> None:
    path = Path(directory.path, "state.json")
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        if kind == "link":
            Path(directory.path, "other").write_bytes(b"{}")
        path.symlink_to("other")
    found = read(directory)
    assert (found.content, found.readable, found.problem) == (None, False, "it is not a plain file")


def test_B6_a_file_that_became_a_fifo_after_it_was_looked_at_is_not_waited_for(directory: Directory) -> None:
    path = Path(directory.path, "state.json")
    path.write_bytes(b"{}")
    facts = look(directory, "state.json")
    path.unlink()
    os.mkfifo(path)
    found = read_document("state", directory, "state.json", "", facts)
    assert (found.content, found.readable, found.problem) == (None, False, "it is not a plain file")


def test_B6_a_huge_document_is_unknown(directory: Directory) -> None:
    path = Path(directory.path, "state.json")
    path.touch()
    os.truncate(path, MOST_BYTES + 1)
    found = read(directory)
    assert not found.readable and f"more than {MOST_BYTES}" in found.problem
