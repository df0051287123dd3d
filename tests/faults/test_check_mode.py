# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 1 in every scenario: check mode and the diff tell exactly what the run does, and the same again is unchanged.

The scenarios are the cases of the crash harness, and those in which nothing is to be done or something is refused.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.faults import bundles, gvisor, harness, kata, mappings, snapshot
from ansible_collections.sandboxed.containers.tests.faults.harness import Case
from ansible_collections.sandboxed.containers.tests.faults.running import Ended, Task, Worker

pytestmark = pytest.mark.real
_SHORT = (
    "gvisor",
    "kata_store",
    "containerd_v2",
    "mapping",
)  # the layouts of the short run; the others work with the same code
CASES = [
    pytest.param(case, id=case.name, marks=() if layout in _SHORT else pytest.mark.long)
    for runtime in (gvisor, kata, bundles, mappings)
    for layout in runtime.LAYOUTS
    for table in (runtime.cases, runtime.quiet_cases)
    for case in table(layout)
]


def told(ended: Ended) -> dict[str, Any]:
    """What a task says of itself and its items; in words, check mode says of the same that it would be."""
    assert ended.answer is not None, ended.text
    words = ended.answer["msg"].replace("would be ", "")
    return {name: value for name, value in ended.answer.items() if name != "invocation"} | {"msg": words}


@pytest.mark.parametrize("case", CASES)
def test_check_mode_tells_what_the_run_does(worker: Worker, case: Case) -> None:
    module, options = case.task
    before = harness.fresh(case, worker)
    planned = told(worker.run(Task(module, {**options, "_ansible_check_mode": True, "_ansible_diff": True})))
    assert snapshot.take(worker.root) == before, "check mode changed something"

    done = told(worker.run(Task(module, {**options, "_ansible_diff": True})))
    after = snapshot.take(worker.root)
    assert done == planned
    assert done["changed"] == bool(snapshot.differences(after, before))

    for check_mode in (False, True):
        again = worker.run(Task(module, {**options, "_ansible_check_mode": check_mode, "_ansible_diff": True}))
        assert not again.changed, again.text
        assert not told(again).get("diff"), again.text
        assert "failed" in done or not again.failed, again.text
        assert snapshot.take(worker.root) == after, "the second run changed something"
