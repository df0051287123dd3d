# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a prune keeps for what it has kept, or what has come, beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Mounted
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_bundles
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_removal import AbsentBundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import EngineRoots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import HostTree


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


@pytest.mark.parametrize("comes_back", [False, True])
def test_A4_a_bundle_that_is_there_again_keeps_its_sandbox(
    host: HostTree, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    """Until the bundle has had its turn the sandbox is not suspected for it; after that it must be gone."""
    state, bundle = host.kata_persist("hostunit-1"), host.bundle("hostunit-1")
    apply = AbsentBundle.apply

    def again(*given: Any) -> None:
        apply(*given)
        if comes_back:
            host.bundle("hostunit-1")

    monkeypatch.setattr(AbsentBundle, "apply", again)
    done = host.prune()
    assert not done.failed, done.msg
    actions = {one["kind"]: one["action"] for one in done.value["objects"]}
    assert actions == {"bundle": "deleted", "sandbox": "skipped" if comes_back else "deleted"}
    assert state.exists() == bundle.exists() == comes_back


def test_A6_a_pods_socket_stays_where_one_of_its_bundles_was_kept_after_all(
    host: HostTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were to go together, and the last one takes the socket along."""
    path = host.socket(f"run/containerd/s/{'a' * 64}")
    first, second = host.bundle("hostunit-1"), host.bundle("hostunit-2")
    hide = RemoveTree.hide

    def kept(change: RemoveTree, *given: Any) -> Any:
        if change.name == "hostunit-1":
            raise Mounted(change.path, "it is a mount point")
        return hide(change, *given)

    with monkeypatch.context() as patched:
        patched.setattr(RemoveTree, "hide", kept)
        host.prune()
    assert (first.exists(), second.exists(), path.exists()) == (True, False, True)
    assert host.prune().changed and not path.exists()


def test_A6_a_bundle_whose_address_cannot_be_read_may_refer_to_any_socket(host: HostTree) -> None:
    path = host.socket(f"run/containerd/s/{'b' * 64}")
    bundle = host.bundle("hostunit-1")
    assert host.verdicts()[f"socket {path.name}"] == "leftover"
    (bundle / "address").unlink()
    (bundle / "address").mkdir()
    assert host.verdicts()[f"socket {path.name}"] == "unknown"
    assert str(bundle) in host.evidence(f"socket {path.name}")
    host.prune(kinds=["socket"])
    assert path.exists()


def test_D2_only_a_socket_of_a_shims_name_is_one(host: HostTree) -> None:
    file = host.write(f"run/containerd/s/{'b' * 64}")
    odd = [host.socket(f"run/containerd/s/{name}") for name in ("b" * 63, "containerd.sock", f"{'g' * 64}")]
    assert host.verdicts() == {}
    assert host.prune().unchanged and file.exists() and all(path.exists() for path in odd)


@pytest.mark.parametrize("known", [True, False])
def test_A10_a_bundle_is_unknown_where_the_root_of_its_containerd_is(
    host: HostTree, tmp_path: Path, known: bool
) -> None:
    """What that lists is not known either, and no other containerd's database is taken for its own."""
    folder = host.bundle("hostunit-1")
    state, work = str(folder.parents[2]), host.folder("srv/work")
    view = HostView(str(host.root), True)
    (found,) = host_bundles.find(str(host.root), [EngineRoots(state, str(work) if known else None)], view, [])
    assert found.read(view)
    assert ("root directory of its containerd is not known" in str(found.evidence(view).unknown)) is not known
