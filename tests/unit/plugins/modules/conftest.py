# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several tests of the modules ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_virtiofsd import (
    Site,
    a_site,
    stand_ins,
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Stand-ins for both virtiofsd, by what they say that they are."""
    return stand_ins(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def site(tmp_path: Path, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A place for daemons, which end with the test."""
    with a_site(tmp_path, programs, monkeypatch) as place:
        yield place
