# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written is on disk before it has its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import trees
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import write_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.test_new_trees import (
    HIDDEN,
    Places,
    places,
)

__all__ = ["places"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is synced, and when something gets its name."""
    done: list[str] = []
    fsync, rename, hide = os.fsync, os.rename, trees.hide

    def synced(descriptor: int) -> None:
        done.append("sync " + os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path))
        fsync(descriptor)

    def renamed(source: str, target: str, **more: Any) -> None:
        done.append(f"rename {source} {target}")
        rename(source, target, **more)

    def hidden(*given: Any) -> bool:
        done.append("put")
        return hide(*given)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(trees, "hide", hidden)
    return done


@pytest.mark.parametrize("durable", [True, False])
def test_promise_2_a_document_is_on_disk_before_it_has_its_name(
    tmp_path: Path, steps: list[str], durable: bool
) -> None:
    with open_given(str(tmp_path)) as directory:
        write_file(directory, "a", b"new", 0o600, durable)
    assert steps == [*(["sync .a.sbx-tmp"] if durable else []), "rename .a.sbx-tmp a"]


@pytest.mark.parametrize("durable", [True, False])
def test_promise_3_a_tree_is_on_disk_before_it_has_its_name(places: Places, steps: list[str], durable: bool) -> None:
    places.make(durable=durable)
    inside = {f"sync vc/{HIDDEN}{name}" for name in ("/lock", "/state.json", "/raw/item", "/raw", "")}
    assert steps[-1] == "put" and set(steps[:-1]) == (inside if durable else set())
