# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bundles of the layout oci, which no engine knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import SPEC


def make(folder: Path, **options: Any) -> Result:
    given = {"layout": "oci", "path": str(folder), "sees_all_processes": True}
    return run("container_bundle", {**given, **options})


def test_a_relative_root_is_made_and_all_of_it_goes(tmp_path: Path) -> None:
    made = make(tmp_path, container_id="hello", spec=SPEC)
    assert made.changed, made.msg
    assert sorted(path.name for path in (tmp_path / "hello").iterdir()) == ["config.json", "rootfs"]
    assert not make(tmp_path, container_id="hello", spec=SPEC).changed
    assert make(tmp_path, container_id="hello", state="absent").changed
    assert list(tmp_path.iterdir()) == []


def test_an_absolute_root_must_be_there_and_stays(tmp_path: Path) -> None:
    root = tmp_path / "image"
    spec = {**SPEC, "root": {"path": str(root)}}
    bundles = tmp_path / "bundles"
    assert "there is no directory" in make(bundles, container_id="hello", spec=spec).msg
    root.mkdir()
    assert make(bundles, container_id="hello", spec=spec).changed
    assert make(bundles, container_id="hello", state="absent").changed
    assert root.is_dir()


def test_it_needs_a_path_and_knows_no_namespace(tmp_path: Path) -> None:
    assert "path: oci needs" in run("container_bundle", {"layout": "oci", "container_id": "x1"}).msg
    assert "has no namespaces" in make(tmp_path, container_id="x1", namespace="a", state="absent").msg
