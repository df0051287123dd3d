# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kills and errors at the system calls of sandbox_state on gVisor's layouts."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.tests.faults.gvisor import LAYOUTS, cases
from ansible_collections.sandboxed.containers.tests.faults.harness import (
    Case,
    all_points,
    changing_points,
    check_some,
    explore,
)
from ansible_collections.sandboxed.containers.tests.faults.running import Worker

CASES = [pytest.param(case, id=case.name) for layout in LAYOUTS for case in cases(layout)]
# The cases of the short run, and the kinds of change that each makes.
_WRITES = {"openat", "fchmod", "write", "fsync", "renameat", "unlinkat"}
FEW = {
    "gvisor create": _WRITES,
    "gvisor update": _WRITES | {"fchown", "fsetxattr"},
    "gvisor delete": {"unlinkat", "fsync"},
    "gvisor delete of a pod": {"unlinkat", "fsync"},
}
pytestmark = pytest.mark.real


@pytest.mark.parametrize("case", [one for one in CASES if one.id in FEW])
def test_some_faults(case: Case, workers: list[Worker]) -> None:
    check_some(case, workers, FEW[case.name])


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_every_fault(case: Case, workers: list[Worker]) -> None:
    # The two layouts read with the same code.
    legacy = case.task.options["layout"] == "gvisor_legacy"
    assert explore(case, workers, changing_points if legacy else all_points).problems == []
