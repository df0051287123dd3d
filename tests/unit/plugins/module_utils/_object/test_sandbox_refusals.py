# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What looks like a leftover, or like an owner to be stopped, and is neither. Each of these once deleted or killed."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    InvalidInput,
    Mounted,
    NotProved,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object import flat_sandbox, removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.flat_sandbox import FlatSandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Outcome, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.lab.processes import wait_until
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.test_removal import running
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.test_sandbox import (
    NAME,
    NEEDS_PIDFD,
    document,
    error_of,
    make,
    removed,
    titled,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def absent(root: Path, layout: str = "gvisor", sandbox_id: str = NAME, container_id: str = "") -> Outcome:
    tree = Tree(LAYOUTS[layout], "/", {"run_root": str(root)})
    return through(FlatSandbox(Wish(sandbox_id, container_id, present=False), tree))


def through(item: FlatSandbox) -> Outcome:
    (outcome,) = run([item], Run(lambda: HostView("/", True), LockBudget(0.2), False, durable=False))
    return outcome


def item_of(kind: type[FlatSandbox], root: Path, **wish: Any) -> FlatSandbox:
    return kind(Wish(NAME, **wish), Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)}))


@NEEDS_PIDFD
def test_A6_one_container_of_a_live_pod_is_not_stopped_alone(root: Path) -> None:
    """One process serves them all: ending it for one would end the others, and their records would stay."""
    make(root)
    make(root, "sidecar")
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as owner:
        text = error_of(removed(root, container_id="sidecar", stop_processes=True), InUse)
        assert owner.poll() is None
    assert f"It shares these processes with {NAME}" in text and len(os.listdir(root)) == 4


@NEEDS_PIDFD
def test_E1_another_containers_gofer_of_the_same_bundle_is_not_stopped(root: Path) -> None:
    make(root, bundleDir="/shared/bundle", goferPid=1)
    with titled("runsc-gofer", f"--root={root}", "gofer", "--bundle=/shared/bundle") as gofer:
        error_of(removed(root, stop_processes=True), NotProved)
        assert gofer.poll() is None
    assert len(os.listdir(root)) == 2


@NEEDS_PIDFD
def test_A8_a_command_in_another_sandbox_that_takes_the_name_as_an_argument(root: Path) -> None:
    make(root)
    with titled("runsc", f"--root={root}", "exec", "other", "cat", NAME) as command:
        error_of(removed(root, stop_processes=True), NotProved)
        assert command.poll() is None
    assert len(os.listdir(root)) == 2


@NEEDS_PIDFD
@pytest.mark.parametrize("engine", ["io.containerd.runtime.v2.task/k8s.io", "overlay-containers"])
def test_A4_what_an_engine_may_know_is_refused_before_anything_is_stopped(
    root: Path, tmp_path: Path, engine: str
) -> None:
    bundle = tmp_path / engine / NAME
    bundle.mkdir(parents=True)
    make(root, bundleDir=str(bundle))
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as owner:
        text = error_of(removed(root, stop_processes=True), NotProved)
        assert owner.poll() is None
    assert f"its engine may still know it: the bundle {bundle} exists" in text
    assert "its engine may still know it" in error_of(removed(root), NotProved)
    assert removed(root, force=True).action == "deleted"


def test_legacy_an_empty_state_below_a_linked_root_may_be_a_live_pods(root: Path, tmp_path: Path) -> None:
    """runsc keeps its root directory as it was typed: /var/run/runsc goes through a link (A7)."""
    (tmp_path / "link").symlink_to(root)
    for ending in (".state", ".lock"):
        (root / f"sidecar{ending}").touch()
    with titled("runsc-sandbox", f"--root={tmp_path}/link", "boot", "some-pod"):
        error_of(absent(root, "gvisor_legacy", "sidecar"), NotProved)
    # Any other runsc-sandbox on this host whose root directory cannot be told, as another test's, is in the way too.
    wait_until(lambda: absent(root, "gvisor_legacy", "sidecar").action == "deleted", "no owner to be possible")


def test_legacy_a_stopped_containers_null_sandbox_is_found_by_its_annotation(root: Path) -> None:
    pod, ctr = f"pod-{os.getpid()}", f"ctr-{os.getpid()}"  # names that no process of another test carries
    spec = {"annotations": {"io.kubernetes.cri.sandbox-id": pod}}
    (root / f"{pod}.state").write_text(json.dumps({"id": pod, "sandbox": {"id": pod, "pid": 0}}))
    (root / f"{ctr}.state").write_text(json.dumps({"id": ctr, "sandbox": None, "spec": spec}))
    with titled("runsc-sandbox", f"--root={root}", "boot", pod):
        error_of(absent(root, "gvisor_legacy", pod, container_id=ctr), InUse)
    # Another test's runsc-sandbox whose root directory cannot be told is in the way here too.
    wait_until(lambda: absent(root, "gvisor_legacy", pod).action == "deleted", "no owner to be possible")
    assert os.listdir(root) == []


def test_B2_a_socket_on_which_somebody_listens_is_kept_even_with_force(root: Path) -> None:
    make(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{root}/runsc-{NAME}.sock")
        listening.listen()
        for options in ({}, {"force": True}, {"force": True, "stop_processes": True}):
            assert "somebody listens on" in error_of(removed(root, **options), InUse)
    assert removed(root).action == "deleted"


def test_G2_a_lock_that_is_not_held_is_never_unlinked(root: Path) -> None:
    """It vanished before this run could take it, and another run's new one has its name now."""
    lock = root / f"{NAME}_sandbox:{NAME}.lock"
    lock.touch()
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)})
    item = FlatSandbox(Wish(NAME, present=False), tree)
    view = HostView("/", True)
    item.read(view)
    plan = item.plan(view)
    lock.unlink()
    with lock.open("w") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        with pytest.raises(ChangedMeanwhile, match="not the lock that this task holds"):
            item.apply(plan, durable=False)
        assert os.fstat(others.fileno()).st_nlink == 1


@pytest.mark.parametrize("path", ["\ud800", "a\x00b"], ids=["no Unicode", "NUL"])
def test_A1_a_bundle_path_that_cannot_be_looked_at_may_exist(root: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "io.containerd.runtime.v2.task").mkdir()
    make(root, bundleDir=f"{tmp_path}/io.containerd.runtime.v2.task/{path}")
    error_of(removed(root), NotProved)


def test_A2_a_tree_that_is_seen_through_another_process_may_be_another_hosts(root: Path) -> None:
    seen = Roots("/", {"run_root": Directory(-1, "/proc/4711/root/run/runsc")})
    assert "may be another host's tree" in seen.another_hosts()
    assert Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)}).roots.another_hosts() == ""


@support.needs_root
def test_D3_a_private_copy_of_a_mount_on_a_file_of_it_keeps_it(root: Path, tmp_path: Path) -> None:
    """Ours is unmounted, the copy in another namespace does not follow; an unlink would detach it there."""
    (tmp_path / "data").touch()

    def inside() -> None:
        make(root)
        support.bind(f"{tmp_path}/data", f"{root}/{NAME}_sandbox:{NAME}.state")
        with support.another_namespace(lambda: None) as pid:
            assert len(MountTable.read(pid).at_or_below(str(root))) == 1
            outcome = removed(root, unmount=True, force=True)
            assert "still mounted" in error_of(outcome, Mounted)
            assert len(MountTable.read(pid).at_or_below(str(root))) == 1

    support.in_private_namespace(inside)


def test_G2_a_lock_in_the_place_of_the_held_one_is_never_unlinked(root: Path) -> None:
    make(root)
    lock = root / f"{NAME}_sandbox:{NAME}.lock"

    class Replaced(FlatSandbox):
        def apply(self, plan: Any, durable: bool) -> None:
            lock.unlink()
            lock.write_text("another's")
            super().apply(plan, durable)

    error_of(through(item_of(Replaced, root, present=False)), ChangedMeanwhile)
    assert lock.read_text() == "another's"


def test_C3_a_runtime_that_comes_to_wait_at_the_last_moment_keeps_the_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root)
    monkeypatch.setattr(flat_sandbox, "lock_waiters", lambda _inode: (4711,))
    assert "a runtime waits for" in error_of(removed(root), InUse)
    assert os.listdir(root) == [f"{NAME}_sandbox:{NAME}.lock"]


def test_C2_a_lock_that_went_away_leaves_the_state_to_somebody_else(root: Path) -> None:
    make(root)

    class Unlocked(FlatSandbox):
        def lock_places(self) -> Any:
            return []

    assert "its lock went away" in error_of(through(item_of(Unlocked, root, present=False)), ChangedMeanwhile)
    assert (root / f"{NAME}_sandbox:{NAME}.state").exists()


@pytest.mark.parametrize("ending", [".state", ".filestore"])
def test_D8_whoever_has_a_file_of_it_open_keeps_it(root: Path, tmp_path: Path, ending: str) -> None:
    make(root, bundleDir=str(tmp_path / "bundle"), spec={"root": {"path": "rootfs"}})
    (tmp_path / "bundle" / "rootfs").mkdir(parents=True)
    filestore = tmp_path / "bundle" / "rootfs" / f".gvisor.filestore.{NAME}"
    filestore.touch()
    used = filestore if ending == ".filestore" else root / f"{NAME}_sandbox:{NAME}.state"
    before = sorted(os.listdir(root))
    with running("os.open(sys.argv[1], os.O_RDONLY)", str(used)) as child:
        assert f"(pid {child.pid}" in error_of(removed(root), InUse)
    assert sorted(os.listdir(root)) == before and used.exists()
    assert removed(root).action == "deleted"


@pytest.mark.parametrize("why", ["it is another one", "somebody has it open"])
def test_G3_a_lock_that_was_made_for_nothing_is_left_where(
    root: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    lock = root / f"{NAME}_sandbox:{NAME}.lock"

    class Overtaken(FlatSandbox):
        def lock_places(self) -> Any:
            places = super().lock_places()
            self.wish = self.wish._replace(documents={})
            return places

        def tidy(self) -> None:
            if why == "it is another one":
                lock.unlink()
                lock.touch()
            else:
                monkeypatch.setattr(removal, "lasting_users", lambda inodes, *_more: dict.fromkeys(inodes, "x"))
            super().tidy()

    error_of(through(item_of(Overtaken, root, documents={"state": document()})), InvalidInput)
    assert lock.exists()


@NEEDS_PIDFD
def test_A1_what_is_unknown_after_the_owners_ended_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read and judged anew: something has come meanwhile that cannot be read."""
    make(root)
    stop_all = removal.stop_all

    def stop_and_come(*given: Any) -> bool:
        ended = stop_all(*given)
        (root / f"ctr_sandbox:{NAME}.state").mkdir()
        return ended

    monkeypatch.setattr(removal, "stop_all", stop_and_come)
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME):
        text = error_of(removed(root, stop_processes=True), NotProved)
    assert "cannot be read" in text and (root / f"{NAME}_sandbox:{NAME}.state").exists()


def test_C1_the_sandboxs_own_lock_is_the_one_that_may_be_waited_for(root: Path) -> None:
    for name in ("aa", NAME, "zz"):
        make(root, name)
    item = item_of(FlatSandbox, root, present=False)
    item.read(HostView("/", True))
    assert [place.name.partition("_")[0] for place in item.lock_places()] == [NAME, "aa", "zz"]
