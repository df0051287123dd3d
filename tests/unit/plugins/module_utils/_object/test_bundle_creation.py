# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_creation import _is_filled


def test_A1_a_directory_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not _is_filled(Directory(-1, str(tmp_path))) and not _is_filled(Directory(-1, f"{tmp_path}/none"))
    (tmp_path / "file").touch()
    assert _is_filled(Directory(-1, str(tmp_path)))

    def broken(_self: Directory) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Directory, "names", broken)
    with pytest.raises(Unreadable, match="it cannot be listed"):
        _is_filled(Directory(-1, str(tmp_path)))
