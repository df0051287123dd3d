# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Markers, and what a skip means: without root a test of real software is skipped by name, in CI that is a failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pluggy
import pytest

PARTLY = {(3, 10), (3, 11), (3, 12)}
IN_CI = os.environ.get("CI", "").lower() == "true"


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; not in pyproject.toml, because ansible-test does not read that."""
    config.addinivalue_line("markers", "real: drives real software as root; a skip is a failure with CI=true")
    config.addinivalue_line("markers", "long: runs in `make test-all` only")
    # ansible-test runs each test in a fork of its own, which takes longer than most tests do. These here leave nothing
    # behind in their process: `make test-all` and `make pytest` run them all in one.
    forked = config.pluginmanager.get_plugin("ansible_forked")
    if forked is not None:
        config.pluginmanager.unregister(forked)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """ansible-test, which repeats the unit tests on each Python, cannot be given ``-m "not long"``.

    The oldest and the newest Python get every case, those between the first case of each test: what works on both ends
    breaks between them, if ever, by a function or a form that is not there.
    """
    if not config.inipath or "ansible_test" not in config.inipath.parts:
        return
    chosen = [item for item in items if not item.get_closest_marker("long")]
    if sys.version_info[:2] in PARTLY:
        first = {(item.path, getattr(item, "originalname", item.name)): item for item in reversed(chosen)}
        kept = set(first.values())
        chosen = [item for item in chosen if item in kept]
    config.hook.pytest_deselected(items=list(set(items) - set(chosen)))
    items[:] = chosen


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of real software need root."""
    if item.get_closest_marker("real") and os.geteuid() != 0:
        pytest.skip("needs root: sudo make test")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Turn the skip of a test of real software into a failure in CI; an expected failure is no skip."""
    report = (yield).get_result()
    if IN_CI and report.skipped and item.get_closest_marker("real") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"skipped although CI=true: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pluggy.Result[pytest.CollectReport], None]:
    """The same for a whole file of tests that skips itself: nothing in these folders may hide."""
    report = (yield).get_result()
    if IN_CI and report.skipped and {"integration", "faults", "fleet", "molecule"} & set(collector.path.parts):
        report.outcome, report.longrepr = "failed", f"skipped although CI=true: {report.longrepr}"
