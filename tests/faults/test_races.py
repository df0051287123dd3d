# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many of our own processes on one sandbox, while somebody reads its state all the time (promises 2 to 4)."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.faults.gvisor import document
from ansible_collections.sandboxed.containers.tests.lab.ansible import Bare

pytestmark = pytest.mark.real
_RACERS = 16
_PATIENCE = 60
_MEANWHILE = "changed while this task waited"


def start(run_root: Path, **options: Any) -> Bare:
    common = {"layout": "gvisor", "run_root": str(run_root), "sandbox_id": "race-1", "sees_all_processes": True}
    return Bare("sandbox_state", {**common, "lock_timeout": _PATIENCE, **options})


def wish(run_root: Path, number: int) -> dict[str, Any]:
    """A document of a size of its own."""
    return {"state": {**document(run_root, "race-1"), "owner": str(number) * 5000 * (number + 1)}}


class Reader(threading.Thread):
    """Reads a file until it is told to end; keeps what is neither absent nor a whole document."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.torn: list[bytes] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                continue
            try:
                json.loads(data)
            except ValueError:
                self.torn.append(data)


@pytest.mark.long
def test_a_reader_never_sees_half_a_state(tmp_path: Path) -> None:
    """Creators, updaters and removers at once: each ends well or says that it was overtaken, and no stray stays."""
    state, lock = tmp_path / "race-1_sandbox:race-1.state", tmp_path / "race-1_sandbox:race-1.lock"
    reader = Reader(state)
    reader.start()
    try:
        racers = [
            start(tmp_path, state="absent") if number % 3 == 2 else start(tmp_path, documents=wish(tmp_path, number))
            for number in range(_RACERS)
        ]
        results = [racer.result(timeout=2 * _PATIENCE) for racer in racers]
    finally:
        reader.ended.set()
        reader.join()
    assert reader.torn == []
    assert [one.message for one in results if one.failed and _MEANWHILE not in one.message] == []
    assert any(one.changed for one in results)
    assert set(tmp_path.iterdir()) in (set(), {state, lock})
