# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bundles of the layout oci, which no engine knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import SPEC


def make(folder: Path, check: bool = False, **options: Any) -> Result:
    given = {"layout": "oci", "path": str(folder), "sees_all_processes": True}
    return run("container_bundle", {**given, **options}, check)


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


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_hidden_directory_beside_it_is_nobodys_tombstone(tmp_path: Path, state: str) -> None:
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    (tmp_path / ".git.0123456789abcdef").mkdir()  # that is one of ours
    given: dict[str, Any] = {"spec": SPEC} if state == "present" else {}
    done = make(tmp_path, container_id="git", state=state, **given)
    assert done.changed, done.msg
    assert (tmp_path / ".git" / "objects").is_dir()
    assert not (tmp_path / ".git.0123456789abcdef").exists()
    assert not make(tmp_path, container_id="git", state="absent").failed
    assert not make(tmp_path, container_id="git", state="absent").changed


def test_a_root_that_is_missing_or_another_is_made_and_what_is_there_stays(tmp_path: Path) -> None:
    bundle = tmp_path / "hello"
    for name in ("rootfs", "other", "rootfs"):
        spec = {**SPEC, "root": {"path": f"./{name}/"}}
        planned = make(tmp_path, container_id="hello", spec=spec, check=True)
        made = make(tmp_path, container_id="hello", spec=spec)
        assert made.changed and made.value["diff"] == planned.value["diff"], made.value
        assert (bundle / name).stat().st_mode & 0o7777 == 0o711
        (bundle / name / "data").write_text("kept")
    assert sorted(path.name for path in bundle.iterdir()) == ["config.json", "other", "rootfs"]
    assert (bundle / "other" / "data").read_text() == (bundle / "rootfs" / "data").read_text() == "kept"
    (bundle / "rootfs" / "data").unlink()
    (bundle / "rootfs").rmdir()
    assert make(tmp_path, container_id="hello", spec=spec).value["bundles"][0]["action"] == "updated"
    assert (bundle / "rootfs").is_dir()
    assert make(tmp_path, container_id="hello", spec=spec).unchanged


@pytest.mark.parametrize("path", ["a/../../x", "a/b", "..", ".", "config.json", "/nonexistent/x"])
def test_a_root_that_cannot_be_is_refused_for_an_old_bundle_as_for_a_new_one(tmp_path: Path, path: str) -> None:
    spec = {**SPEC, "root": {"path": path}}
    new = make(tmp_path, container_id="hello", spec=spec)
    assert make(tmp_path, container_id="hello", spec=SPEC).changed
    for check_mode in (True, False):
        refused = make(tmp_path, container_id="hello", spec=spec, check=check_mode)
        assert refused.failed and not refused.changed and "spec.root.path: " in refused.msg
        assert refused.msg == new.msg
    assert json.loads((tmp_path / "hello" / "config.json").read_bytes()) == SPEC


def test_a_root_in_the_place_of_the_spec_is_refused(tmp_path: Path) -> None:
    for check_mode in (True, False):
        refused = make(tmp_path, container_id="hello", spec={**SPEC, "root": {"path": "config.json"}}, check=check_mode)
        assert "spec.root.path: 'config.json' is where the spec itself goes" in refused.msg


def test_a_spec_file_may_be_a_link_and_is_named_when_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text(json.dumps(SPEC))
    (tmp_path / "link.json").symlink_to("real.json")
    bundles = tmp_path / "bundles"
    for path, why in (("", "it is empty or has a NUL"), ("a\0b", "it has a NUL"), (str(tmp_path), "not a plain file")):
        refused = make(bundles, container_id="hello", spec_file=path)
        assert refused.msg.startswith("spec_file: ") and why in refused.msg
    entry = {"container_id": "hello", "spec_file": "/a\ud812"}
    assert "bundles[0].spec_file: it has '\\ud812', which" in make(bundles, bundles=[entry]).msg
    assert make(bundles, container_id="hello", spec_file=str(tmp_path / "link.json")).changed
    own = bundles / "hello" / "config.json"
    own.write_text(json.dumps({**SPEC, "root": {"path": "a\ud812"}}))
    assert "spec.root.path: it has '\\ud812', which" in make(bundles, container_id="hello", spec_file=str(own)).msg
