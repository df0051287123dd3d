# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A root directory of runsc, and states in it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Reading, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor import Gvisor, GvisorLegacy

GVISOR, LEGACY = Gvisor(), GvisorLegacy()


FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def roots(root: Path) -> Iterator[Roots]:
    with open_given(str(root)) as opened:
        yield Roots("/", {"run_root": opened})


def read(layout: FlatLayout, roots: Roots, sandbox_id: str) -> Reading:
    return layout.read(roots, sandbox_id, layout.sandboxes_of(roots).get(sandbox_id, []))


def put(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))


def state_of(bundle: Path, sandbox_id: str = "c1", **more: Any) -> dict[str, Any]:
    spec = {"root": {"path": f"{bundle}/rootfs"}, "mounts": [{"source": f"{bundle}/volume"}, {"source": None}, 7]}
    return {"id": "c1", "spec": spec, "bundleDir": str(bundle), "sandbox": {"id": sandbox_id}, **more}


def listed(layout: FlatLayout, roots: Roots) -> dict[str, list[str]]:
    return {name: sorted(names) for name, names in layout.sandboxes_of(roots).items()}


def bind(path: Path) -> None:
    """A socket file that nobody listens on any more; the name is short wherever the directory is."""
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(before)
