# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kills and errors at the system calls of container_bundle."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.tests.faults.bundles import LAYOUTS, cases
from ansible_collections.sandboxed.containers.tests.faults.harness import (
    Case,
    changing_points,
    check_some,
    explore,
    one_error_each,
)
from ansible_collections.sandboxed.containers.tests.faults.running import Worker

CASES = [pytest.param(case, id=case.name) for layout in LAYOUTS for case in cases(layout)]
# The cases of the short run, and the kinds of change that each makes.
FEW = {
    "bundle containerd_v2 create": {
        "mkdirat",
        "openat",
        "write",
        "fsync",
        "fchmod",
        "fchmodat",
        "renameat2",
        "symlinkat",
    },
    "bundle containerd_v2 delete": {"renameat2", "unlinkat", "fsync"},
}
_MAIN = {f"bundle {layout} {name}" for layout in LAYOUTS for name in ("create", "update", "delete")}
pytestmark = pytest.mark.real


@pytest.mark.parametrize("case", [one for one in CASES if one.id in FEW])
def test_some_faults(case: Case, workers: list[Worker]) -> None:
    check_some(case, workers, FEW[case.name])


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_every_fault(case: Case, workers: list[Worker]) -> None:
    assert explore(case, workers, changing_points if case.name in _MAIN else one_error_each).problems == []
