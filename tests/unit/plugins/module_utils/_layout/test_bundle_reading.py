# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import plain_files
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import documents
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import (
    BundleReading,
    read_bundle,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS


def read(path: Path) -> BundleReading:
    return read_bundle(LAYOUTS["oci"], open_given(str(path.parent)), path.name)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "web-1"
    path.mkdir()
    (path / "config.json").write_text("{}", encoding="utf-8")
    return path


def test_a_specification_that_goes_away_while_it_is_read_is_gone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else removes the bundle at this moment: that is no reason to doubt who owns it."""
    known = plain_files.read_known_file

    def gone_before(*arguments: object) -> object:
        (bundle / "config.json").unlink(missing_ok=True)
        return known(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(documents, "read_known_file", gone_before)
    found = read(bundle)
    assert (found.spec, found.problems, found.missing) == (None, (), ("config.json",))


def test_one_that_is_there_and_cannot_be_read_is_a_problem(bundle: Path) -> None:
    (bundle / "config.json").unlink()
    (bundle / "config.json").mkdir()
    found = read(bundle)
    assert found.spec is not None and not found.missing
    (problem,) = found.problems
    assert problem.startswith(f"{bundle}/config.json cannot be read: ")
