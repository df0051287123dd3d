# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sandboxes of gVisor in a root directory of their own, and the module that is about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

SECRET = "hunter2-of-nobody"


BASE = {"layout": "gvisor", "sees_all_processes": True, "lock_timeout": 0.2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def call(root: Path, check_mode: bool = False, **options: Any) -> Result:
    return run("sandbox_state", {**BASE, "run_root": str(root), **options}, check_mode)


def document(name: str = "unit-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "status": "stopped", "bundleDir": "/srv/b", "sandbox": {"id": name, "pid": 0}, **more}


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.iterdir() if path.is_file()}


def make(root: Path, name: str = "unit-1", content: bytes | None = None, lock: bool = True) -> None:
    data = json.dumps(document(name), separators=(",", ":")).encode() if content is None else content
    (root / f"{name}_sandbox:{name}.state").write_bytes(data)
    if lock:
        (root / f"{name}_sandbox:{name}.lock").touch(mode=0o600)


CREATE: dict[str, Any] = {"sandbox_id": "unit-1", "documents": {"state": document()}}


UPDATE: dict[str, Any] = {"sandbox_id": "unit-1", "documents": {"state": document(status="created")}}


ABSENT: dict[str, Any] = {"sandbox_id": "unit-1", "state": "absent"}
