# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cgroups of a bundle go with it (safety.md D7)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_population
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import Hierarchy
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import to_find
from ansible_collections.sandboxed.containers.plugins.module_utils._object import bundle_removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import BundleWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import RemoveCgroup
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_removal import AbsentBundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


@pytest.mark.parametrize(("name", "goes"), [("web-1", True), ("web.slice", False), ("kubepods", False)])
def test_D7_a_slice_or_an_engines_own_cgroup_is_never_removed(
    monkeypatch: pytest.MonkeyPatch, name: str, goes: bool
) -> None:
    of = [Hierarchy(("unified",), "/sys/fs/cgroup")]
    found = to_find({"linux": {"cgroupsPath": f"/{name}"}}, name, "", of)
    place: Any = SimpleNamespace(layout=SimpleNamespace(has_engine=False, name="oci"))
    item = AbsentBundle(BundleWish(name, present=False, cgroups=True), place)
    monkeypatch.setattr(bundle_removal, "cgroups_of", lambda *_given: found)
    monkeypatch.setattr(bundle_removal, "hierarchies_of", lambda _view: ())
    monkeypatch.setattr(cgroup_population, "exists", lambda path: path == f"/sys/fs/cgroup/{name}")
    monkeypatch.setattr(cgroup_population, "is_populated", lambda _path: False)
    assert [one.path for one in item._cgroups_of(HostView())] == ([f"/sys/fs/cgroup/{name}"] if goes else [])


def test_D7_nothing_of_a_cgroup_goes_while_a_process_is_in_it(tmp_path: Path) -> None:
    """Those below it are empty, and would go before the kernel refuses it itself."""
    leaf = tmp_path / "web-1"
    (leaf / "inner").mkdir(parents=True)
    (leaf / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(InUse, match="a process is in this cgroup"):
        RemoveCgroup(str(leaf)).make()
    assert (leaf / "inner").is_dir()
