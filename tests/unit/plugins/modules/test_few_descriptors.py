# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where few files may be open at once, many objects are worked on a few at a time (kata-persist.md P4)."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object.batches import most_held
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import Site

NAMES = [f"few-{os.getpid()}-{number}" for number in range(120)]  # names that no process of another test carries
LAYOUTS = ("kata_store", "kata_persist", "kata_rs", "gvisor", "containerd_v2")


@pytest.fixture
def few() -> Iterator[None]:
    """So few that not half of the objects could be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(open_now + 40, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def lay_out(folder: Path, layout: str) -> tuple[str, dict[str, Any]]:
    """Dead objects of a layout; the module that is about them, and its options."""
    if layout == "containerd_v2":
        site = Site(folder, layout)
        for name in NAMES:
            site.add(name)
        roots = {"state_root": str(site.state_root), "work_root": str(site.work_root)}
        return "container_bundle", {"layout": layout, **roots, "container_id": NAMES}
    root = folder / "root" / "sbs"
    root.mkdir(parents=True)
    config = folder / "config" / "sbs"
    for name in NAMES:
        if layout == "gvisor":
            state = {"id": name, "sandbox": {"id": name}}
            (root / f"{name}_sandbox:{name}.state").write_text(json.dumps(state))
            (root / f"{name}_sandbox:{name}.lock").touch()
            continue
        document = {"kata_store": "state", "kata_persist": "persist", "kata_rs": "state"}[layout]
        (root / name).mkdir()
        (root / name / f"{document}.json").write_text("{}")
        if layout == "kata_store":
            (root / name / "lock").touch()
            (config / name).mkdir(parents=True)
    roots = {"run_root": str(root.parent if layout in ("kata_store", "kata_persist") else root)}
    if layout == "kata_store":
        roots["config_root"] = str(config.parent)
    return "sandbox_state", {"layout": layout, **roots, "sandbox_id": NAMES}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_P4_many_are_looked_at_and_removed_with_few_descriptors(tmp_path: Path, few: None, layout: str) -> None:
    module, options = lay_out(tmp_path, layout)
    options["sees_all_processes"] = True
    seen = run(f"{module}_info", options)
    assert not seen.failed, seen.msg
    (entries,) = (seen.value[plural] for plural in ("sandboxes", "bundles") if plural in seen.value)
    assert [entry["verdict"] for entry in entries] == ["leftover"] * len(NAMES), entries[-1]
    done = run(module, {**options, "state": "absent"})
    assert not done.failed, done.msg
    left = [path.name for path in tmp_path.rglob("*") if path.name.startswith("few-") or path.is_file()]
    assert left == []


@pytest.mark.parametrize(("limit", "held"), [(8, 1), (52, 1), (244, 64), (1012, 256), (1 << 20, 256), (-1, 256)])
def test_P4_so_many_are_held_at_once_as_may_be_open(monkeypatch: pytest.MonkeyPatch, limit: int, held: int) -> None:
    """Twenty are open already."""
    monkeypatch.setattr(os, "sysconf", lambda _name: limit)
    monkeypatch.setattr(os, "listdir", lambda _path: [str(number) for number in range(20)])
    assert most_held() == held
