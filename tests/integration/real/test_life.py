# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container from its creation by runsc to the reuse of its name."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import (
    Collection,
    crashed,
    files,
    filestores,
)
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import adhoc
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["new"], indirect=True)


def snapshot(runsc: Runsc) -> list[tuple[Any, ...]]:
    """Everything about the files of a root directory that a write would change."""
    facts = [(path.name, path.lstat()) for path in [runsc.root, *sorted(runsc.root.iterdir())]]
    return [(name, status.st_ino, status.st_mode, status.st_size, status.st_ctime_ns) for name, status in facts]


def test_from_creation_to_reuse(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    pid = runsc.launch("live-1", lab.bundle("live-1"))
    assert collection.verdict("live-1") == "live"

    refused = collection.absent("live-1")
    assert refused.failed
    assert not refused.changed
    assert f"runsc-sandbox (pid {pid}," in refused.message
    assert "stop_processes=true" in refused.message
    assert runsc.listed() == ["live-1"]
    assert processes.lives(pid)

    runsc.crash()
    assert collection.verdict("live-1") == "leftover"
    checked = collection.absent("live-1", _ansible_check_mode=True, _ansible_diff=True)
    assert checked.changed
    assert f"{runsc.file('live-1', 'state')}" in str(checked.answer["diff"])
    assert runsc.file("live-1", "state").exists()

    removed = collection.absent("live-1", _ansible_diff=True)
    assert not removed.failed
    assert removed.sandboxes[0]["action"] == "deleted"
    assert removed.answer["diff"] == checked.answer["diff"]
    assert files(runsc) == []
    assert filestores(lab) == []
    assert collection.absent("live-1").unchanged
    assert files(runsc) == []

    assert runsc.launch("live-1", lab.folder / "live-1") != pid
    assert runsc.listed() == ["live-1"]


def test_a_created_container_that_was_not_started_is_live(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    pid = runsc.create("live-1", lab.bundle("live-1"))
    assert f"runsc-sandbox (pid {pid}," in collection.absent("live-1", force=True).message


def test_a_live_one_is_stopped_on_request(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    runsc.launch("live-1", lab.bundle("live-1"))
    runsc.launch("live-2", lab.bundle("live-2"))
    other = runsc.sandbox_pid("live-2")
    result = collection.absent("live-1", stop_processes=True)
    assert not result.failed, result.message
    assert result.changed
    assert runsc.pids() == sorted([other, runsc.gofer_pid("live-2")])
    assert runsc.listed() == ["live-2"]
    assert filestores(lab) in ([], ["live-2"])  # the older runsc has none
    assert runsc.launch("live-1", lab.folder / "live-1")


@newest
def test_looking_changes_nothing(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    runsc.launch("live-1", lab.bundle("live-1"))
    runsc.file("torn", "state").write_text("{", encoding="utf-8")
    runsc.file("alone", "lock").touch()
    before = snapshot(runsc)
    assert {one["sandbox_id"]: one["verdict"] for one in collection.info().sandboxes}["live-1"] == "live"
    collection.info("live-1", "torn", "alone", "missing", with_documents=True)
    assert snapshot(runsc) == before


@newest
def test_a_live_document_is_never_written(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    runsc.launch("live-1", lab.bundle("live-1"))
    record = runsc.record("live-1")
    assert collection.present("live-1", record).unchanged
    refused = collection.present("live-1", {**record, "owner": "me"}, force=True)
    assert refused.failed
    assert "is in use" in refused.message
    assert runsc.record("live-1") == record


def test_runsc_understands_what_we_write(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    crashed(lab, runsc, "live-1")
    record = runsc.record("live-1")
    assert collection.absent("live-1").changed
    assert collection.present("live-1", record, fail_if_exists=True).changed
    assert collection.present("live-1", record).unchanged
    assert oct(runsc.file("live-1", "state").stat().st_mode & 0o777) == "0o640"
    assert oct(runsc.file("live-1", "lock").stat().st_mode & 0o777) == "0o600"
    assert runsc.record("live-1") == record
    assert runsc.listed() == ["live-1"]

    def is_deleted() -> bool:
        runsc.delete("live-1")  # refused while a zombie has the recorded pid; complains of the filestore that is gone
        return files(runsc) == []

    processes.wait_until(is_deleted, "runsc to delete what it takes for stopped")


@newest
def test_by_the_ansible_command(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    crashed(lab, runsc, "live-1")
    options = {**collection.options, "sandbox_id": "live-1", "state": "absent"}
    checked = adhoc("sandbox_state", options, "--check", "--diff")
    assert checked.changed
    assert runsc.file("live-1", "state").exists()
    removed = adhoc("sandbox_state", options, "--diff")
    assert removed.changed
    assert removed.shown == checked.shown
    assert files(runsc) == []
    assert collection.absent("live-1").unchanged
