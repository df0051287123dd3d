# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SIGKILL at the system calls of a task that starts or stops a daemon, and disks that are full (promises 2 and 3, V5).

Whatever the moment, no daemon is left that nobody knows, and the next run finishes what was begun.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.virtiofsd.conftest import RECORDS, Share
from ansible_collections.sandboxed.containers.tests.lab import mounting
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked, counted, killed_at

pytestmark = pytest.mark.real
# What changes something: on disk, in a cgroup, or by making a process, waking it, or ending one.
CALLS = (
    "bind", "listen", "fchownat", "mkdir", "mkdirat", "write", "rename", "renameat", "fsync", "unlink", "unlinkat",
    "rmdir", "clone", "pidfd_send_signal",
)  # fmt: skip
# In the short run: the process is made, its record is written, it is told to begin, and the result is printed.
FEW = ("clone", "renameat", "write")


def is_known(share: Share) -> bool:
    """Whether every process of the daemon is in its record or descends from one that is."""
    return not share.family() or share.look().get("pids") == share.family()


def points(made: Counter[str], every: bool) -> list[tuple[str, int]]:
    """The calls to be killed at, by name and number."""
    return [(name, number) for name in made if every or name in FEW for number in range(1, made[name] + 1)]


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["few", "every"])
def test_V5_a_start_that_is_killed_is_finished_by_the_next(share: Share, every: bool) -> None:
    made = counted("virtiofsd_daemon", share.options, CALLS)
    assert {"bind", "listen", "fchownat", "write", "renameat", "clone"} <= made.keys(), made
    share.must_stop()
    for name, number in points(made, every):
        killed_at("virtiofsd_daemon", share.options, name, number)
        assert is_known(share), f"{name} {number}: {share.family()} are running, {share.look()}"
        done = share.started()
        assert not done.failed, f"{name} {number}: {done.message}"
        assert is_known(share) and share.look()["verdict"] == "live"
        share.must_stop()


@pytest.mark.long
def test_V4_a_stop_that_is_killed_is_finished_by_the_next(share: Share) -> None:
    share.must_start()
    options = {"name": share.name, "state": "stopped"}
    made = counted("virtiofsd_daemon", options, CALLS)
    assert made["pidfd_send_signal"] and share.rests() == []
    for name, number in points(made, every=True):
        share.must_start()
        killed_at("virtiofsd_daemon", options, name, number)
        assert is_known(share), f"{name} {number}"
        assert not share.stopped().failed
        assert share.rests() == [], f"{name} {number}"


def test_a_full_disk_below_run_dir_leaves_no_daemon(share: Share) -> None:
    """The record cannot be written, so that the daemon, which waits for that, never begins."""
    small = Path("/run/lab/small")
    mounting.small_ext4(small, Path("/run/lab/image"))
    run_dir = small / "records"
    run_dir.mkdir(mode=0o700)
    ballast = mounting.fill(small)
    refused = share.started(run_dir=str(run_dir))
    assert refused.failed and "No space left on device" in refused.message, refused.message
    assert share.rests() == [] and list(run_dir.iterdir()) == []
    ballast.unlink()
    share.must_start(run_dir=str(run_dir))
    share.must_stop(run_dir=str(run_dir))


def test_reboot_makes_a_record_say_nothing(share: Share) -> None:
    """Pids repeat after a reboot (safety.md F2): whoever has the number now is left alone."""
    pid = share.must_start()
    record = share.record.read_text(encoding="utf-8")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    share.record.write_text(record.replace(boot, "00000000-0000-4000-8000-000000000000"), encoding="utf-8")
    found = share.look()
    assert found["verdict"] == "leftover" and "before this host booted last" in found["evidence"][0], found
    refused = share.started()
    assert refused.failed and "listens on" in refused.message
    assert pid in share.family()
    share.record.write_text(record, encoding="utf-8")
    assert share.stopped().changed


def test_nothing_is_made_where_the_records_cannot_be(share: Share) -> None:
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    RECORDS.write_text("", encoding="utf-8")
    answers = Counter(Forked("virtiofsd_daemon", {**share.options}).result().failed for _number in range(2))
    assert answers == {True: 2} and not share.socket_path.exists() and share.family() == []
