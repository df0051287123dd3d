# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pytest: a test that asks for the fixture `host` runs in a host of its own, from set-up to teardown.

Nothing that such a test makes outlives it: processes and mounts end with the host, cgroups are swept here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from ansible_collections.sandboxed.containers.tests.lab import kata_cgroups, own_host

SECONDS = 300.0  # more than any test takes


@pytest.fixture
def host() -> None:
    """Skips by name where there can be no host of its own."""
    why = _why_not()
    if why:
        pytest.skip(why)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run the whole protocol of such a test in a child; everything else as always."""
    if "host" not in getattr(item, "fixturenames", ()) or _why_not():
        return None
    # What other items of this process have set up, and this one does not need, ends here and not in the child.
    item.session._setupstate.teardown_exact(item)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    item.session._setupstate.teardown_exact(nextitem)  # the next one may be of another folder, and run here
    return True


@lru_cache(maxsize=1)
def _why_not() -> str:
    return own_host.available()


def _reports(item: pytest.Item) -> Iterator[pytest.TestReport]:
    before = kata_cgroups.existing()
    try:
        answer = own_host.run(lambda: _run(item), SECONDS)
    except own_host.Ended as exc:
        yield pytest.TestReport(item.nodeid, item.location, {}, "failed", str(exc), "call")
        return
    finally:
        kata_cgroups.sweep(kata_cgroups.existing() - before)
    for data in json.loads(answer):
        yield item.config.hook.pytest_report_from_serializable(config=item.config, data=data)


def _run(item: pytest.Item) -> bytes:
    """In the child: nothing is kept for a next test, because nothing of it would be left."""
    hook: Any = item.config.hook
    reports = runtestprotocol(item, log=False, nextitem=None)
    data = [hook.pytest_report_to_serializable(config=item.config, report=report) for report in reports]
    return json.dumps(data, default=_as_text).encode()


def _as_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    return repr(value)
