# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Debian 12 that systemd has booted, for a role to manage over ssh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.tests.lab import booted
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable


@pytest.fixture
def system() -> Iterator[Booted]:
    """What a test changes there ends with it, also when it fails."""
    why = booted.available()
    if why:
        pytest.skip(why)
    try:
        started = Booted()
    except Unavailable as exc:
        pytest.skip(str(exc))
    with started:
        yield started
