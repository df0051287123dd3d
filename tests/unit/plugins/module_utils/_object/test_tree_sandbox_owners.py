# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    Mounted,
    NotProved,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import ProcessTable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.unmounting import unmount_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object import tree_sandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Outcome, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence, Owners
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_descriptors import python
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    NAME,
    SANDBOX,
    SHARE,
    SID,
    VM,
    listing,
    make,
    put,
    state_of,
    titled,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_trees import (
    error_of,
    files,
    item_of,
    lines,
    planned,
    removed,
    take_all,
    tree_of,
    view_of,
)

NEEDS_PIDFD = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")


# owners


@NEEDS_PIDFD
@pytest.mark.parametrize("layout", KATA)
def test_E_stop_processes_ends_the_owners_in_their_order_and_nobody_else(tmp_path: Path, layout: str) -> None:
    share = tmp_path / SHARE
    vm = state_of(layout, tmp_path) / "root" if layout == "kata_rs" else tmp_path / VM / NAME
    put(vm / "pid")
    with titled("qemu-system-x86_64", "-pidfile", f"{vm}/pid") as machine:
        with titled("virtiofsd", f"--shared-dir={share}/{NAME}/shared") as daemon:
            with titled("virtiofsd", f"--shared-dir={share}/{NAME}x/shared") as other:
                if layout == "kata_rs":
                    put(state_of(layout, tmp_path) / "state.json", SANDBOX[layout]["state"])
                else:
                    make(layout, tmp_path)
                plan = planned(item_of(layout, tmp_path, present=False, stop_processes=True), tmp_path)
                stops = [change for change in plan.changes if change.role == "process"]
                assert [f"pid {child.pid}" in stop.path for child, stop in zip((machine, daemon), stops)] == [True] * 2
                assert error_of(removed(layout, tmp_path, force=True), InUse).endswith(
                    "Stop the container first, or set stop_processes=true to stop it here."
                )
                outcome = removed(layout, tmp_path, stop_processes=True)
                assert outcome.action == "deleted", outcome.error
                assert machine.wait(timeout=20) == daemon.wait(timeout=20) == -signal.SIGTERM
                assert other.poll() is None
    assert not state_of(layout, tmp_path).exists()


def test_A6_a_shims_sandbox_is_left_to_its_engine(tmp_path: Path) -> None:
    """With the default root a shim means this sandbox; here it may mean another host's, and is no proof."""
    make("kata_persist", tmp_path)
    with titled("containerd-shim-kata-v2", "-namespace", "k8s.io", "-id", NAME) as shim:
        outcome = removed("kata_persist", tmp_path, stop_processes=True)
        assert "names it in its arguments" in error_of(outcome, NotProved)
        assert shim.poll() is None


@pytest.mark.parametrize("layout", KATA)
def test_A7_a_recorded_pid_that_was_reused_is_evidence_of_death(tmp_path: Path, layout: str) -> None:
    """Its process is this test, which has nothing to do with the sandbox."""
    recorded: dict[str, Any] = {
        "kata_store": {"hypervisor": {"VirtiofsdPid": os.getpid()}},
        "kata_persist": {"persist": {"HypervisorState": {"Pid": os.getpid()}}},
        "kata_rs": {"state": {"hypervisor": {"pid": os.getpid()}}},
    }
    make(layout, tmp_path, **recorded[layout])
    assert removed(layout, tmp_path).action == "deleted"


@pytest.mark.parametrize("kind", ["remote", "dragonball"])
def test_A7_a_machine_that_runs_elsewhere_is_unknown(tmp_path: Path, kind: str) -> None:
    make("kata_persist", tmp_path, persist={"Config": {"HypervisorType": kind}})
    assert f"its hypervisor is {kind}" in error_of(removed("kata_persist", tmp_path), NotProved)
    put(tmp_path / SHARE / NAME / "x")
    text = error_of(removed("kata_persist", tmp_path, force=True), NotProved)
    assert text.startswith(f"{tmp_path}/{SHARE}/{NAME} belongs to it, and it is not proved that nobody uses that: ")
    assert "force does not override this. Nothing was removed." in text
    shutil.rmtree(tmp_path / SHARE / NAME)
    assert removed("kata_persist", tmp_path, force=True).action == "deleted"


def test_A8_the_machine_of_two_sandboxes_with_one_beginning_belongs_to_neither_alone(tmp_path: Path) -> None:
    other = SID[:32] + "f" * 32
    for name in (SID, other):
        make("kata_persist", tmp_path, name)
    jail = tmp_path / "run/vc/firecracker" / SID[:32]
    put(jail / "root" / "x")
    with titled("firecracker", "--id", SID[:32], "--api-sock", f"{jail}/root/run/firecracker.socket") as machine:
        outcome = removed("kata_persist", tmp_path, sandbox_id=SID, stop_processes=True)
        assert "cannot be told whose Firecracker runs" in error_of(outcome, InUse)
        assert machine.poll() is None
    assert removed("kata_persist", tmp_path, sandbox_id=SID).action == "deleted" and jail.exists()
    assert removed("kata_persist", tmp_path, sandbox_id=other).action == "deleted" and not jail.exists()


# between the last look and the rename


class Appearing(HostView):
    """A view in which an owner has come at last."""

    @property
    def blind(self) -> str:
        return "an owner appeared"


def appear_at(item: TreeSandbox, host: Path, number: int) -> Outcome:
    """Take the steps; the view of that number shows somebody new."""
    made: list[HostView] = []

    def new_view() -> HostView:
        made.append(Appearing(str(host), True) if len(made) == number else view_of(host))
        return made[-1]

    (outcome,) = take_all([item], host, new_view=new_view)
    return outcome


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_C2_an_owner_that_comes_in_between_gets_the_sandbox_back(tmp_path: Path, layout: str, force: bool) -> None:
    """Few of the runtimes' own steps take the lock, and the Rust runtime has none (RS6, P5)."""
    make(layout, tmp_path)
    before = listing(tmp_path)
    outcome = appear_at(item_of(layout, tmp_path, present=False, force=force), tmp_path, 2)
    if force:
        assert outcome.action == "deleted" and files(tmp_path) == []
        return
    text = error_of(outcome, InUse)
    assert text == f"Sandbox '{NAME}' ({layout}) is in use: an owner appeared. It was put back."
    assert listing(tmp_path) == before and outcome.item.locks == []


@pytest.mark.parametrize("layout", KATA)
def test_C2_where_the_last_look_fails_the_sandbox_comes_back(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hidden one would be finished by the next run, which looks for no owner of it."""
    make(layout, tmp_path)
    before = listing(tmp_path)
    item = item_of(layout, tmp_path, present=False)
    look_for_owners = item.look_for_owners

    def look(view: HostView) -> Owners:
        if item.hidden:
            raise Unreadable("/proc", "it cannot be listed")
        return look_for_owners(view)

    monkeypatch.setattr(item, "look_for_owners", look)
    (outcome,) = take_all([item], tmp_path)
    assert error_of(outcome, Unreadable) == "/proc: it cannot be listed."
    assert listing(tmp_path) == before and outcome.item.acted is False


def test_C2_a_container_gets_its_name_back_too(tmp_path: Path) -> None:
    make("kata_store", tmp_path, containers=("app-1",))
    before = listing(tmp_path)
    item = item_of("kata_store", tmp_path, present=False, container_id="app-1")
    error_of(appear_at(item, tmp_path, 2), InUse)
    assert listing(tmp_path) == before


def test_D1_a_tree_that_cannot_be_hidden_brings_the_first_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("kata_store", tmp_path)
    before = listing(tmp_path)
    item = item_of("kata_store", tmp_path, present=False)
    original = item.removal._hide

    def failing(change: Any) -> None:
        if change.role == "state":
            raise Mounted(change.path, "it is a mount point")
        original(change)

    monkeypatch.setattr(item.removal, "_hide", failing)
    (outcome,) = take_all([item], tmp_path)
    assert "it is a mount point" in error_of(outcome, Mounted) and listing(tmp_path) == before
    assert outcome.item.acted is False


def test_several_items_share_their_looks(tmp_path: Path) -> None:
    """Three looks for all of them: for the plan, under the locks, and after the rename."""
    tree = tree_of("kata_persist", tmp_path)
    names = [f"{NAME}-{number}" for number in range(5)]
    for name in names:
        make("kata_persist", tmp_path, name)
    views: list[HostView] = []

    def new_view() -> HostView:
        views.append(view_of(tmp_path))
        return views[-1]

    tree = tree_of("kata_persist", tmp_path)
    items = [item_of("kata_persist", tmp_path, tree, sandbox_id=name, present=False) for name in names]
    outcomes = take_all(items, tmp_path, new_view=new_view)
    assert {outcome.action for outcome in outcomes} == {"deleted"} and len(views) == 3


@pytest.mark.parametrize("layout", KATA)
def test_C2_E3_a_live_owner_that_comes_in_between_is_not_overridden_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    make(layout, tmp_path)
    before = listing(tmp_path)
    item = item_of(layout, tmp_path, present=False, force=True)
    look = item.look_for_owners

    def living(view: HostView) -> Any:
        return Owners((), (), Evidence(owners=("qemu runs it",))) if isinstance(view, Appearing) else look(view)

    monkeypatch.setattr(item, "look_for_owners", living)
    assert "qemu runs it. It was put back." in error_of(appear_at(item, tmp_path, 2), InUse)
    assert listing(tmp_path) == before


def test_roots_that_were_made_for_nothing_are_taken_back(tmp_path: Path) -> None:
    wish: dict[str, Any] = {"documents": SANDBOX["kata_store"]}
    item = item_of("kata_store", tmp_path, **wish)

    def failing(plan: Plan, durable: bool) -> None:
        raise Mounted(str(plan), f"durable={durable}")

    item.apply = failing  # type: ignore[method-assign]
    error_of(take_all([item], tmp_path)[0], Mounted)
    assert list(tmp_path.iterdir()) == []


# mounts


@support.needs_root
def test_R4_K13_a_mount_in_what_belongs_to_it_is_refused_or_unmounted(tmp_path: Path) -> None:
    """d314e2d0: Kata 1.5 to 1.8 delete across live bind mounts, and with them the data of the host."""
    support.write(f"{tmp_path}/data/precious", "x")
    host = tmp_path / "host"
    state = make("kata_persist", host)
    rootfs = host / SHARE / NAME / "mounts" / "app-1" / "rootfs"
    rootfs.mkdir(parents=True)
    before = support.checksum(f"{tmp_path}/data")

    def inside() -> None:
        # A child of this test alone: its mount namespace is not that of pid 1, where this would be refused (D3).
        tree_sandbox.unmount_all = partial(unmount_all, any_namespace=True)  # type: ignore[attr-defined]
        support.bind(f"{tmp_path}/data", str(rootfs))
        text = error_of(removed("kata_persist", host), Mounted)
        assert "there is 1 mount on it or below" in text and "on_mounted=unmount" in text
        plan = planned(item_of("kata_persist", host, present=False, unmount=True), host)
        assert lines(plan.changes, host)[0] == f"-mount {SHARE}/{NAME}"
        outcome = removed("kata_persist", host, unmount=True)
        assert outcome.action == "deleted", outcome.error

    support.in_private_namespace(inside)
    assert not state.exists() and not (host / SHARE / NAME).exists()
    assert support.checksum(f"{tmp_path}/data") == before


@support.needs_root
@pytest.mark.parametrize("layout", KATA)
def test_R4_a_mount_on_the_sandboxs_own_directory_hides_what_it_is_judged_by(tmp_path: Path, layout: str) -> None:
    support.write(f"{tmp_path}/data/precious", "x")
    state = make(layout, tmp_path)
    before = listing(state)

    def inside() -> None:
        support.bind(f"{tmp_path}/data", str(state))
        for unmount in (False, True):
            error_of(removed(layout, tmp_path, unmount=unmount, force=True), Mounted)
        support.run("umount", str(state))

    support.in_private_namespace(inside)
    assert listing(state) == before and Path(tmp_path, "data/precious").exists()


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_R6_K15_the_link_to_a_factorys_machine_goes_and_the_machine_stays(tmp_path: Path, layout: str) -> None:
    """Kata removes the target too, wherever it points."""
    make(layout, tmp_path)
    put(tmp_path / VM / "vm-1" / "shared" / "data")
    (tmp_path / VM / NAME).symlink_to(f"/{VM}/vm-1")
    (tmp_path / SHARE / NAME).mkdir(parents=True)
    (tmp_path / SHARE / NAME / "mounts").symlink_to(f"/{VM}/vm-1/shared")
    assert removed(layout, tmp_path).action == "deleted"
    assert files(tmp_path) == [f"{VM}/vm-1/shared/data"] and not os.path.lexists(tmp_path / VM / NAME)
    assert not (tmp_path / SHARE / NAME).exists()


def test_D8_a_file_that_is_open_too_deep_to_be_named_keeps_the_tree(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    code = (
        "for _depth in range(25):\n"
        "    os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        "held = os.open('data', os.O_RDWR | os.O_CREAT, 0o600)\n"
        "os.chdir('/'); print('there', flush=True); time.sleep(60)\n"
    )
    with python(code, cwd=state_of("kata_persist", tmp_path)) as child:
        assert ProcessTable.scan().by_pid[child.pid].complete, "nothing else shows it"
        text = error_of(removed("kata_persist", tmp_path), NotProved)
        assert f"(pid {child.pid}" in text and "too long" in text
        assert state_of("kata_persist", tmp_path).exists()
    assert removed("kata_persist", tmp_path).action == "deleted"
