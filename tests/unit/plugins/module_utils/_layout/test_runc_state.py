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
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.runc_state import read_runc_state


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "web-1").mkdir()
    with open_given(str(tmp_path)) as directory:
        yield directory


def put(root: Directory, text: str) -> None:
    Path(root.path, "web-1", "state.json").write_text(text)


LABELS = {"labels": ["bundle=/run/b/web-1", "other=1"]}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"config": LABELS, "init_process_pid": 12, "init_process_start": 34}, ("/run/b/web-1", 12, 34)),
        ({"config": LABELS, "init_process_pid": 12}, ("/run/b/web-1", 12, 0)),
        ({"config": LABELS, "init_process_pid": 0}, ("/run/b/web-1", None, 0)),
        ({"config": LABELS, "init_process_pid": True}, ("/run/b/web-1", None, 0)),
        ({"config": {"labels": "bundle=/x"}}, ("", None, 0)),
        ({"config": {"labels": [1, None]}}, ("", None, 0)),
        ({"config": []}, ("", None, 0)),
        ({}, ("", None, 0)),
    ],
)
def test_what_a_state_tells(root: Directory, state: dict[str, Any], expected: tuple[str, int | None, int]) -> None:
    put(root, json.dumps(state))
    found = read_runc_state(root, "web-1")
    assert (found.bundle, found.pid.pid if found.pid else None, found.started) == expected
    assert (found.is_rest, found.problem) == (False, "")


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_state_that_cannot_be_understood_says_so(root: Directory, text: str) -> None:
    put(root, text)
    found = read_runc_state(root, "web-1")
    assert "state.json cannot be read" in found.problem
    assert not found.is_rest


@pytest.mark.parametrize(("name", "is_rest"), [("", True), ("exec.fifo", True), ("notes", False)])
def test_a_rest_without_a_state_holds_nothing_that_is_not_runcs(root: Directory, name: str, is_rest: bool) -> None:
    if name:
        Path(root.path, "web-1", name).touch()
    assert read_runc_state(root, "web-1").is_rest == is_rest


def test_B6_a_fifo_in_its_place_is_not_opened(root: Directory) -> None:
    os.mkfifo(Path(root.path, "web-1", "state.json"))
    assert "it is not a plain file" in read_runc_state(root, "web-1").problem
