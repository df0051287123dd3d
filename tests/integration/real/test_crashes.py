# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a runsc that died at the wrong moment leaves behind, and what may be done about it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import (
    Collection,
    crashed,
    files,
    filestores,
)
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["new"], indirect=True)
SLEEP = ["/bin/sleep", "1000"]


@pytest.mark.parametrize("before", ["openat", "write"], ids=["no state", "empty state"])
def test_the_sandbox_of_a_killed_create_is_live(lab: Lab, runsc: Runsc, collection: Collection, before: str) -> None:
    """gvisor#9834: runsc itself neither lists nor deletes it, with and without an empty state beside it."""
    bundle = lab.bundle("live-1")
    assert runsc.interrupt_create("live-1", bundle, before).code != 0
    assert runsc.listed() == []
    alive = runsc.pids()
    assert len(alive) == 2
    refused = collection.absent("live-1", force=True)
    assert refused.failed
    assert "runsc-sandbox (pid" in refused.message
    assert runsc.pids() == alive
    assert collection.verdict("live-1") == "live"

    stopped = collection.absent("live-1", stop_processes=True)
    assert not stopped.failed, stopped.message
    processes.wait_until(lambda: not runsc.pids(), "the gofer to follow its sandbox")
    assert files(runsc) == []
    again = lab.bundle("again") if filestores(lab) else bundle
    assert runsc.launch("live-1", again)


@pytest.mark.parametrize("before", ["openat", "write"], ids=["no state", "empty state"])
def test_what_a_killed_create_leaves_is_removed(lab: Lab, runsc: Runsc, collection: Collection, before: str) -> None:
    """Lock, socket, and an empty state. No file says where the filestore of such a create lies, so it stays."""
    runsc.interrupt_create("live-1", lab.bundle("live-1"), before)
    runsc.crash()
    assert runsc.file("live-1", "lock").exists()
    assert collection.verdict("live-1") == "leftover"
    removed = collection.absent("live-1")
    assert not removed.failed, removed.message
    assert removed.changed
    assert files(runsc) == []
    assert runsc.launch("live-1", lab.bundle("again"))


def test_a_lock_alone_is_removed(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """Runsc reports success for it and leaves it."""
    runsc.root.mkdir(mode=0o711)
    runsc.file("live-1", "lock").touch(0o600)
    assert runsc.delete("live-1", force=True).code == 0
    assert files(runsc) == ["live-1_sandbox:live-1.lock"]
    assert collection.absent("live-1").changed
    assert files(runsc) == []
    assert runsc.launch("live-1", lab.bundle("live-1"))


@pytest.mark.parametrize(
    "content", ["", '{"id": "torn", "sandb', "[]", "\0" * 700], ids=["empty", "cut", "list", "nul"]
)
@newest
def test_a_corrupt_state_hides_no_other(lab: Lab, runsc: Runsc, collection: Collection, content: str) -> None:
    """gvisor#5052 (field problem 31)."""
    runsc.launch("good", lab.bundle("good"))
    runsc.file("torn", "state").write_text(content, encoding="utf-8")
    found = {one["sandbox_id"]: one for one in collection.info().sandboxes}
    assert set(found) == {"good", "torn"}
    assert found["good"]["verdict"] == "live"
    assert found["torn"]["containers"][0]["problems"]
    removed = collection.absent("torn")
    assert not removed.failed, removed.message
    assert runsc.listed() == ["good"]
    assert files(runsc) == ["good_sandbox:good.lock", "good_sandbox:good.state", "runsc-good.sock"]


@pytest.mark.parametrize("stop_processes", [False, True])
def test_g5_a_reused_pid_survives(lab: Lab, runsc: Runsc, collection: Collection, stop_processes: bool) -> None:
    """Runsc's own delete kills whoever has the recorded pid now (G5, containerd PR 4204)."""
    unrelated = lab.spawn(SLEEP)
    crashed(lab, runsc, "live-1")
    record = runsc.record("live-1")
    record["sandbox"]["pid"] = record["goferPid"] = unrelated.pid
    runsc.file("live-1", "state").write_text(json.dumps(record), encoding="utf-8")
    assert collection.verdict("live-1") == "leftover"
    removed = collection.absent("live-1", stop_processes=stop_processes)
    assert not removed.failed, removed.message
    assert files(runsc) == []
    assert processes.lives(unrelated.pid)


@newest
def test_g5_the_pid_is_now_another_sandbox(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """The hardest reuse: the recorded pids are a runsc-sandbox and a runsc-gofer, of another container."""
    crashed(lab, runsc, "live-1")
    other = runsc.launch("live-2", lab.bundle("live-2"))
    record = runsc.record("live-1")
    record["sandbox"]["pid"], record["goferPid"] = other, runsc.gofer_pid("live-2")
    runsc.file("live-1", "state").write_text(json.dumps(record), encoding="utf-8")
    removed = collection.absent("live-1", stop_processes=True)
    assert not removed.failed, removed.message
    assert len(runsc.pids()) == 2
    assert runsc.listed() == ["live-2"]


@newest
def test_only_the_gofer_or_only_the_sandbox_is_killed(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    runsc.launch("live-1", lab.bundle("live-1"))
    runsc.launch("live-2", lab.bundle("live-2"))
    processes.kill(runsc.gofer_pid("live-1"), runsc.sandbox_pid("live-2"))
    processes.wait_until(lambda: not runsc.pids(), "the other half to follow")
    assert collection.absent("live-1").changed
    assert collection.absent("live-2").changed
    assert files(runsc) == []
    assert filestores(lab) == []
