# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests of the plugins share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import locking


@pytest.fixture(scope="session", autouse=True)
def _own_locks_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Our own locks are never unlinked (safety.md C2): those of tests must not stay on the machine for ever."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(locking, "_OWN_LOCKS", str(tmp_path_factory.mktemp("locks") / "sandboxed.containers"))
        yield
