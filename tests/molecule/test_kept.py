# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host of the scenarios: nothing of it outlives `molecule destroy`, or the process that keeps it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.lab import cgroups, kept, processes

pytestmark = pytest.mark.real


def leader(inventory: str) -> int:
    """The first process of the system that an inventory leads to."""
    options: str = json.loads(inventory)["all"]["hosts"]["booted"]["ansible_ssh_common_args"]
    (pid,) = re.findall(r"--target (\d+)", options)
    return int(pid)


def test_it_ends_with_stop_and_with_the_process_that_keeps_it(keeper: Callable[[str], str], tmp_path: Path) -> None:
    assert keeper("stop") == "there was none\n"
    for killed in (False, True):
        pid = leader(keeper("start"))
        known = kept.Mark(tmp_path).read()
        assert processes.lives(pid) and processes.lives(known["pid"])
        if killed:
            os.kill(known["pid"], signal.SIGKILL)
            processes.wait_until(lambda pid=pid: not processes.lives(pid), "the system to end")  # type: ignore[misc]
        assert keeper("stop") == "stopped\n"
        assert not processes.lives(pid) and not processes.lives(known["pid"])
        place = Path(known["workspace"])
        assert not place.exists() and cgroups.pids(place.name) == []
        assert not any(one.exists() for one in cgroups.folders(place.name))
        assert keeper("stop") == "there was none\n"
