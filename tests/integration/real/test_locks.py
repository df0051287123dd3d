# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""runsc's own lock: held by somebody, waited for by a runsc, or in a create that is not finished."""

from __future__ import annotations

import time

import pytest
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import (
    Collection,
    crashed,
    files,
    hold_lock,
)
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["new"], indirect=True)


@newest
def test_a_held_lock_is_waited_for_and_its_holder_named(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    crashed(lab, runsc, "live-1")
    holder = hold_lock(lab, runsc.file("live-1", "lock"))
    started = time.monotonic()
    refused = collection.absent("live-1", lock_timeout=1)
    assert time.monotonic() - started >= 1
    assert refused.failed
    assert f"(pid {holder.pid}," in refused.message
    assert f"{runsc.file('live-1', 'lock')}" in refused.message
    assert "lock_timeout" in refused.message
    assert runsc.file("live-1", "state").exists()

    waiting = collection.start("absent", "live-1", lock_timeout=30)
    time.sleep(0.5)
    processes.kill(holder.pid)
    assert waiting.result().changed
    assert files(runsc) == []


@newest
def test_a_create_at_work_is_left_alone(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """It holds the lock, and there is no state yet."""
    lock = runsc.file("live-1", "lock")
    creating = runsc.slow_create("live-1", lab.bundle("live-1"), seconds=600)
    processes.wait_until(lambda: lock.exists() and bool(processes.holds_lock(lock.stat())), "the lock")
    refused = collection.absent("live-1", lock_timeout=0.1, force=True, stop_processes=False)
    assert refused.failed
    assert "runsc" in refused.message
    assert "(pid " in refused.message
    creating.popen.kill()  # strace alone: what it held back goes on
    processes.wait_until(lambda: runsc.listed() == ["live-1"], "the create to be done")
    runsc.start("live-1")
    assert runsc.listed() == ["live-1"]


@pytest.mark.parametrize("command", [["delete", "live-1"], ["list"]], ids=["delete", "list"])
def test_a_runsc_that_waits_for_the_lock(lab: Lab, runsc: Runsc, collection: Collection, command: list[str]) -> None:
    """It would go on with an unlinked lock beside whoever makes the next one (safety.md C3, G2).

    Its arguments name the sandbox, or do not: then only its descriptor on the lock shows it.
    """
    crashed(lab, runsc, "live-1")
    lock = runsc.file("live-1", "lock")
    waiting = runsc.slow_flock(*command, lock=lock, seconds=60)
    processes.wait_until(lambda: bool(processes.opened(lock)), "runsc to open the lock")
    refused = collection.absent("live-1")
    assert refused.failed
    assert "runsc (pid " in refused.message
    assert runsc.file("live-1", "state").exists()
    assert lock.exists()

    waiting.close()
    processes.wait_until(lambda: not processes.opened(lock), "runsc to be gone")
    assert collection.absent("live-1").changed
    assert files(runsc) == []
