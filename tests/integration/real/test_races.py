# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many at once, and creates and deletes that meet on the lock file."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import (
    Collection,
    crashed,
    files,
    hold_lock,
)
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc

pytestmark = [pytest.mark.real, pytest.mark.parametrize("version", ["new"], indirect=True)]
RACERS = 16


def document(sandbox_id: str, owner: str = "") -> dict[str, Any]:
    """A state that names no process."""
    return {
        "id": sandbox_id,
        "status": "stopped",
        "owner": owner,
        "goferPid": 0,
        "sandbox": {"id": sandbox_id, "pid": 0},
    }


def test_one_of_many_creators_wins(runsc: Runsc, collection: Collection) -> None:
    racers = [
        collection.start(
            "present",
            "live-1",
            documents={"state": document("live-1", str(number))},
            fail_if_exists=True,
            lock_timeout=60,
        )
        for number in range(RACERS)
    ]
    results = [racer.result() for racer in racers]
    winners = [number for number, result in enumerate(results) if not result.failed]
    assert len(winners) == 1, [result.message for result in results]
    assert results[winners[0]].changed
    assert not any(result.changed for result in results if result.failed)
    assert runsc.record("live-1")["owner"] == str(winners[0])
    assert files(runsc) == ["live-1_sandbox:live-1.lock", "live-1_sandbox:live-1.state"]


def test_many_removers_agree(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    crashed(lab, runsc, "live-1")
    racers = [collection.start("absent", "live-1", lock_timeout=60) for _number in range(RACERS)]
    results = [racer.result() for racer in racers]
    assert [result.message for result in results if result.failed] == []
    assert sum(result.changed for result in results) == 1
    assert files(runsc) == []


@pytest.mark.long
def test_creators_and_removers_leave_all_or_nothing(runsc: Runsc, collection: Collection) -> None:
    wishes: list[dict[str, Any]] = [
        {"state": "absent"},
        {"state": "present", "documents": {"state": document("live-1")}},
    ]
    racers = [collection.start(sandbox_id="live-1", lock_timeout=60, **wishes[number % 2]) for number in range(RACERS)]
    failures = [result.message for result in (racer.result() for racer in racers) if result.failed]
    assert [text for text in failures if "again" not in text] == []  # they met, and the way out is to try again
    assert files(runsc) in ([], ["live-1_sandbox:live-1.lock", "live-1_sandbox:live-1.state"])


def test_g1_a_duplicate_create_harms_nobody(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """Until 2024 runsc's own duplicate create removes the state and the lock of the container that runs."""
    pid = runsc.launch("live-1", lab.bundle("live-1"))
    before = runsc.file("live-1", "state").read_bytes()
    refused = collection.present("live-1", document("live-1"), fail_if_exists=True)
    assert refused.failed
    assert "exists" in refused.message
    assert runsc.file("live-1", "state").read_bytes() == before

    assert runsc.run("create", "--bundle", lab.bundle("other"), "live-1").code != 0
    assert runsc.listed() == []  # G1 at work: the sandbox runs on, and runsc does not know it
    assert f"runsc-sandbox (pid {pid}," in collection.absent("live-1").message
    assert processes.lives(pid)


def test_g2_a_creator_never_trusts_a_dead_lock(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """It waits for a lock that its holder unlinks; meanwhile somebody else makes the sandbox anew."""
    runsc.root.mkdir(mode=0o711)
    lock = runsc.file("live-1", "lock")
    lock.touch(0o600)
    holder = hold_lock(lab, lock)
    waiting = collection.start(
        "present", "live-1", documents={"state": document("live-1", "late")}, fail_if_exists=True, lock_timeout=30
    )
    time.sleep(0.5)  # it waits by trying again, with a descriptor that is open for microseconds only
    lock.unlink()
    lock.touch(0o600)
    runsc.file("live-1", "state").write_text(json.dumps(document("live-1", "first")), encoding="utf-8")
    processes.kill(holder.pid)
    refused = waiting.result()
    assert refused.failed
    assert runsc.record("live-1")["owner"] == "first"


def test_g3_no_stray_lock_stays(runsc: Runsc, collection: Collection) -> None:
    runsc.root.mkdir(mode=0o711)
    assert collection.absent("live-1").unchanged
    collection.info("live-1")
    assert files(runsc) == []
    assert collection.present("live-1", {"id": "other"}).failed
    assert files(runsc) == []


def test_g4_the_record_stays_while_its_process_lives(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """A command at work under the name has the sandbox's lock: nothing is stopped, and nothing is removed."""
    pid = runsc.launch("live-1", lab.bundle("live-1"))
    hold_lock(lab, runsc.file("live-1", "lock"))
    assert collection.absent("live-1", stop_processes=True, lock_timeout=0.5).failed
    assert processes.lives(pid)
    assert runsc.file("live-1", "state").exists()


def test_g6_a_reader_sees_whole_documents_only(runsc: Runsc, collection: Collection) -> None:
    path = runsc.file("live-1", "state")
    collection.present("live-1", document("live-1", "x" * 100_000))
    seen: list[int] = []
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            seen.append(len(json.loads(path.read_bytes())["owner"]))

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for size in (200_000, 1, 300_000, 2):
            documents = {"state": document("live-1", "x" * size)}
            assert collection.bare("present", "live-1", documents=documents).result().changed
    finally:
        done.set()
        reader.join()
    assert set(seen) <= {100_000, 200_000, 1, 300_000, 2}
    assert len(set(seen)) > 1
    assert files(runsc) == ["live-1_sandbox:live-1.lock", "live-1_sandbox:live-1.state"]
