# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Markers, and what a skip means: without root a test of real software is skipped by name, in CI that is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pluggy
import pytest

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
    """ansible-test, which repeats the unit tests on each Python, cannot be given ``-m "not long"``."""
    if config.inipath and "ansible_test" in config.inipath.parts:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


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
    if IN_CI and report.skipped and {"integration", "faults"} & set(collector.path.parts):
        report.outcome, report.longrepr = "failed", f"skipped although CI=true: {report.longrepr}"
