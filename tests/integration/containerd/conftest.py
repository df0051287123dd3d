# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real containerd of each generation on an inner host of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.tests.lab.containerd import Lab, available


@pytest.fixture(params=[pytest.param("1.6", marks=pytest.mark.long), "1.7"])
def version(request: pytest.FixtureRequest) -> str:
    """Both generations of containerd, the older one in the long run; a test of one alone parametrises this."""
    why = available(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


@pytest.fixture
def lab(version: str) -> Iterator[Lab]:
    """A running containerd; the inner host ends with the test, also when it fails."""
    with Lab(version) as one:
        one.start()
        yield one
