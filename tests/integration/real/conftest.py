# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real runsc at a root directory of its own, and the collection's modules looking at that directory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Bare, Result
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked, forked
from ansible_collections.sandboxed.containers.tests.lab.runsc import VERSIONS, Lab, Runsc, available
from ansible_collections.sandboxed.containers.tests.lab.workspace import Running

_HOLD = """
import fcntl, sys, time
handle = open(sys.argv[1])
fcntl.flock(handle, fcntl.LOCK_EX)
time.sleep(600)
"""


class Collection:
    """The modules, always about one root directory of runsc."""

    def __init__(self, run_root: Path) -> None:
        self.options = {"layout": "gvisor", "run_root": str(run_root)}

    def info(self, *ids: str, **options: Any) -> Result:
        """sandbox_state_info, of all sandboxes or of some."""
        return forked("sandbox_state_info", **self.options, **({"sandbox_id": list(ids)} if ids else {}), **options)

    def verdict(self, sandbox_id: str) -> str:
        """What the collection thinks of one sandbox."""
        return str(self.info(sandbox_id).sandboxes[0].get("verdict"))

    def absent(self, sandbox_id: str, **options: Any) -> Result:
        """sandbox_state state=absent."""
        return self.start("absent", sandbox_id, **options).result()

    def present(self, sandbox_id: str, document: dict[str, Any], **options: Any) -> Result:
        """sandbox_state state=present with a state document."""
        return self.start("present", sandbox_id, documents={"state": document}, **options).result()

    def start(self, state: str, sandbox_id: str, **options: Any) -> Forked:
        """sandbox_state as a process that is not waited for."""
        return Forked("sandbox_state", {**self.options, "state": state, "sandbox_id": sandbox_id, **options})

    def bare(self, state: str, sandbox_id: str, **options: Any) -> Bare:
        """The same as a new Python: slower, and also for a test that has threads."""
        return Bare("sandbox_state", {**self.options, "state": state, "sandbox_id": sandbox_id, **options})


@pytest.fixture(params=list(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    """Both generations of runsc; a test that needs only one says so by parametrising this."""
    why = available(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Ends what the test started and removes what it made, also when it fails."""
    with Lab() as one:
        yield one


@pytest.fixture
def runsc(lab: Lab, version: str) -> Runsc:
    """A runsc with an empty root directory."""
    return lab.runsc(version)


@pytest.fixture
def collection(runsc: Runsc) -> Collection:
    """The modules, looking at that root directory."""
    return Collection(runsc.root)


def files(runsc: Runsc) -> list[str]:
    """The names in the root directory of runsc."""
    return sorted(path.name for path in runsc.root.iterdir())


def filestores(lab: Lab) -> list[str]:
    """The bundles in which a filestore lies."""
    return sorted(path.parents[1].name for path in lab.folder.glob("*/rootfs/.gvisor.filestore.*"))


def crashed(lab: Lab, runsc: Runsc, *ids: str) -> None:
    """Containers that ran and were killed by SIGKILL, with all that they leave behind."""
    for one in ids:
        runsc.launch(one, lab.bundle(one))
    runsc.crash()


def hold_lock(lab: Lab, path: Path) -> Running:
    """Another process that holds the lock until the test ends."""
    holder = lab.spawn([sys.executable, "-c", _HOLD, str(path)])
    processes.wait_until(lambda: holder.pid in processes.holds_lock(path.stat()), "the lock to be held")
    return holder
