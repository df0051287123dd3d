# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties that hold for every name and every document, tried with those that hypothesis makes up.

A test runs in a host of its own (tests/lab/own_host.py). The same examples come each time, a few in `make test`, many
in `make test-all`.
"""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.tests.integration.hostile.bundle_ground import LAYOUTS as BUNDLES
from ansible_collections.sandboxed.containers.tests.integration.hostile.bundle_ground import BundleGround
from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import LAYOUTS, Ground
from ansible_collections.sandboxed.containers.tests.lab import forked
from ansible_collections.sandboxed.containers.tests.lab.own_host_plugin import host, pytest_runtest_protocol

forked.prepare("sandbox_state", "sandbox_state_info", "container_bundle", "container_bundle_info")
__all__ = ["host", "pytest_runtest_protocol"]


# Two in the short run: one with files side by side, and the one with two trees and most documents.
_SHORT = ("gvisor", "kata_store")


@pytest.fixture(params=[pytest.param(one, marks=[] if one in _SHORT else pytest.mark.long) for one in LAYOUTS])
def ground(host: None, request: pytest.FixtureRequest) -> Ground:
    """The tree of each layout, with what must stay around it."""
    return Ground(request.param)


@pytest.fixture(params=[pytest.param(one, marks=[] if one == "containerd_v2" else pytest.mark.long) for one in BUNDLES])
def bundle_ground(host: None, request: pytest.FixtureRequest) -> BundleGround:
    """The same for bundles."""
    return BundleGround(request.param)


@pytest.fixture(params=["few", pytest.param("many", marks=pytest.mark.long)])
def factor(request: pytest.FixtureRequest) -> int:
    """How many times the examples of the short run are tried."""
    return 1 if request.param == "few" else 4
