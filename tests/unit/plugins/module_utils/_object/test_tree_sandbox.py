# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
    LockTimeout,
    Mounted,
    NotProved,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.unmounting import unmount_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object import tree_sandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Outcome, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import MakeTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CONFIG,
    KATA,
    NAME,
    SANDBOX,
    SHARE,
    SID,
    STATE,
    VM,
    listing,
    make,
    put,
    state_of,
    titled,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_trees import (
    error_of,
    item_of,
    lines,
    planned,
    removed,
    take,
    take_all,
    tree_of,
    view_of,
)

NEEDS_PIDFD = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
MARK = "0123456789abcdef"
RUN = {layout: f"{folder}/{NAME}" for layout, folder in STATE.items()}
CONF = f"{CONFIG}/{NAME}"


def above(layout: str) -> str:
    return os.path.dirname(STATE[layout])


def files(host: Path) -> list[str]:
    return sorted(name for name, (_mode, data) in listing(host).items() if data is not None)


# the order of a plan


def test_K12_the_order_of_removal_of_all_that_belongs_to_a_sandbox(tmp_path: Path) -> None:
    """What tells of a sandbox goes last: a crash anywhere leaves what the next run finds it by."""
    make("kata_store", tmp_path, containers=("app-1",))
    for place in (f"{SHARE}/{NAME}/x", f"{VM}/{NAME}/pid", f"run/vc/firecracker/{NAME[:32]}/x"):
        put(tmp_path / place)
    for place in ("var/lib/vc", "run/vc"):
        (tmp_path / place / f".sbx-del.{NAME}.{MARK}").mkdir()
    plan = planned(item_of("kata_store", tmp_path, present=False), tmp_path)
    assert plan.action == "deleted"
    assert lines(plan.changes, tmp_path) == [
        f"-tombstone var/lib/vc/.sbx-del.{NAME}.{MARK}",
        f"-tombstone run/vc/.sbx-del.{NAME}.{MARK}",
        f"-share {SHARE}/{NAME}",
        f"-vm {VM}/{NAME}",
        f"-firecracker run/vc/firecracker/{NAME[:32]}",
        f"-config {CONF}",
        f"-state {RUN['kata_store']}",
    ]
    outcome = removed("kata_store", tmp_path)
    assert outcome.action == "deleted" and files(tmp_path) == []


def test_the_order_for_the_other_runtimes(tmp_path: Path) -> None:
    for layout in ("kata_persist", "kata_rs"):
        host = tmp_path / layout
        make(layout, host)
        for place in (
            f"{SHARE}/{NAME}/x",
            f"{VM}/{NAME}/pid",
            f"run/kata-containers/shared/initdata/{NAME}/x",
            f"run/kata/firecracker/{NAME}/root/x",
        ):
            put(host / place)
        wanted = {
            "kata_persist": [f"-share {SHARE}/{NAME}", f"-initdata run/kata-containers/shared/initdata/{NAME}",
                             f"-vm {VM}/{NAME}", f"-state {RUN[layout]}"],
            "kata_rs": [f"-share {SHARE}/{NAME}", f"-jail run/kata/firecracker/{NAME}", f"-state {RUN[layout]}"],
        }  # fmt: skip
        plan = planned(item_of(layout, host, present=False), host)
        assert lines(plan.changes, host) == wanted[layout]
        assert removed(layout, host).action == "deleted"
        assert not state_of(layout, host).exists()


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_a_container_is_removed_alone(tmp_path: Path, layout: str) -> None:
    """The rest it shares with the others."""
    make(layout, tmp_path, containers=("app-1", "app-2"))
    put(tmp_path / SHARE / NAME / "mounts" / "x")
    plan = planned(item_of(layout, tmp_path, present=False, container_id="app-1"), tmp_path)
    wanted = [f"-config {CONF}/app-1"] if layout == "kata_store" else []
    assert lines(plan.changes, tmp_path) == [*wanted, f"-state {RUN[layout]}/app-1"]
    before = listing(tmp_path)
    assert removed(layout, tmp_path, container_id="app-1").action == "deleted"
    assert listing(tmp_path) == {name: entry for name, entry in before.items() if "app-1" not in name}
    assert removed(layout, tmp_path, container_id="app-1").action == "unchanged"


@pytest.mark.parametrize("layout", KATA)
def test_R9_absent_is_success(tmp_path: Path, layout: str) -> None:
    for _time in range(2):
        outcome = removed(layout, tmp_path)
        assert (outcome.action, outcome.error, outcome.plan.changes) == ("unchanged", None, ())
        assert list(tmp_path.iterdir()) == []


STORE_PARTS = (f"{RUN['kata_store']}/lock", f"{RUN['kata_store']}/state.json", f"{CONF}/config.json", f"{CONF}/lock")


@pytest.mark.long
@pytest.mark.parametrize("gone", [parts for size in range(5) for parts in combinations(STORE_PARTS, size)])
def test_R9_every_subset_of_a_stores_files_can_be_removed(tmp_path: Path, gone: tuple[str, ...]) -> None:
    make("kata_store", tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    assert removed("kata_store", tmp_path).action == "deleted"
    assert files(tmp_path) == [] and not (tmp_path / CONF).exists() and not state_of("kata_store", tmp_path).exists()


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("data", [None, b"", b"{cut", b"[]"], ids=["missing", "empty", "cut", "foreign"])
def test_P2_K12_a_torn_document_does_not_keep_a_sandbox(tmp_path: Path, layout: str, data: bytes | None) -> None:
    """Kata itself can no longer delete it."""
    state = make(layout, tmp_path)
    for document in tmp_path.rglob("*.json"):
        document.unlink() if data is None else document.write_bytes(data)
    assert removed(layout, tmp_path).action == "deleted" and not state.exists()


@pytest.mark.parametrize("tree", [CONF, RUN["kata_store"]], ids=["config", "state"])
def test_D1_a_reboot_in_the_middle_leaves_one_tree_which_is_removed(tmp_path: Path, tree: str) -> None:
    make("kata_store", tmp_path)
    shutil.rmtree(tmp_path / tree)
    assert removed("kata_store", tmp_path).action == "deleted" and files(tmp_path) == []
    assert removed("kata_store", tmp_path).action == "unchanged"


# tombstones


@pytest.mark.parametrize("layout", KATA)
def test_D2_what_a_killed_run_left_is_finished(tmp_path: Path, layout: str) -> None:
    (tmp_path / STATE[layout]).mkdir(parents=True)
    put(tmp_path / above(layout) / f".sbx-del.{NAME}.{MARK}" / "state.json", {"hypervisor": {"pid": os.getpid()}})
    put(tmp_path / above(layout) / f".sbx-del.{NAME}x.{MARK}" / "theirs")
    with titled("virtiofsd", f"--shared-dir={tmp_path}/{SHARE}/{NAME}/shared"):
        outcome = removed(layout, tmp_path, asserted=False)  # a tombstone has no owner
    assert outcome.action == "deleted"
    assert [path.name for path in (tmp_path / above(layout)).glob(".sbx-del.*")] == [f".sbx-del.{NAME}x.{MARK}"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_D2_a_tombstone_that_is_no_directory_is_removed_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    tombstone.touch() if kind == "file" else tombstone.symlink_to(tmp_path / "else")
    assert removed("kata_persist", tmp_path).action == "deleted"
    assert not os.path.lexists(tombstone) and (tmp_path / "else").exists()


def test_D2_one_that_somebody_is_making_is_left_to_them(tmp_path: Path) -> None:
    """While something is built under its hidden name, that directory is locked."""
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    tombstone.mkdir()
    descriptor = os.open(tombstone, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert removed("kata_persist", tmp_path).action == "unchanged"
        assert tombstone.exists()
    finally:
        os.close(descriptor)
    assert removed("kata_persist", tmp_path).action == "deleted"


@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
def test_D2_present_finishes_what_a_killed_run_left(tmp_path: Path, there: bool) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    if there:
        make("kata_persist", tmp_path)
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    put(tombstone / "persist.json")
    wish: dict[str, Any] = {"documents": SANDBOX["kata_persist"]}
    plan = planned(item_of("kata_persist", tmp_path, **wish), tmp_path)
    wanted = [f"-tombstone run/vc/.sbx-del.{NAME}.{MARK}", *([] if there else [f"+state {RUN['kata_persist']}"])]
    assert lines(plan.changes, tmp_path) == wanted
    assert take("kata_persist", tmp_path, **wish).action == ("updated" if there else "created")
    assert not tombstone.exists() and take("kata_persist", tmp_path, **wish).action == "unchanged"


def test_D2_present_leaves_what_another_run_is_at_work_on(tmp_path: Path) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    tombstone.mkdir()
    descriptor = os.open(tombstone, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        outcome = take("kata_persist", tmp_path, documents=SANDBOX["kata_persist"])
    finally:
        os.close(descriptor)
    assert (outcome.action, outcome.error) == ("created", None) and tombstone.exists()


def test_D1_two_trees_are_made_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one cannot get its name, since a runtime has just made it: the first is taken back."""
    item = item_of("kata_store", tmp_path, documents=SANDBOX["kata_store"])
    original = MakeTree.built

    def late(change: MakeTree, *arguments: Any) -> Any:
        tree = original(change, *arguments)
        if change.role == "config":
            put(tmp_path / CONF / "theirs")
        return tree

    monkeypatch.setattr(MakeTree, "built", late)
    (outcome,) = take_all([item], tmp_path)
    assert "somebody else has made it meanwhile" in error_of(outcome, AlreadyExists)
    assert files(tmp_path) == [f"{CONF}/theirs"] and not state_of("kata_store", tmp_path).exists()
    assert outcome.item.acted is False
    assert list(tmp_path.rglob(".sbx-del.*")) == []


# locks


def lock_paths(item: TreeSandbox, host: Path) -> list[str]:
    item.read(view_of(host))
    paths = [place.path for place in item.lock_places()]
    own = item.tree.own_lock_path
    return ["own" if path == own else path[len(str(host)) + 1 :] for path in paths]


def _no_harm(_state: Path) -> None:
    pass


def _no_lock(state: Path) -> None:
    (state / "lock").unlink()


def _lock_is_directory(state: Path) -> None:
    (state / "lock").unlink()
    (state / "lock").mkdir()


def _lock_is_link(state: Path) -> None:
    (state / "lock").unlink()
    (state / "lock").symlink_to(state / "state.json")


def _no_state(state: Path) -> None:
    shutil.rmtree(state)


def _link(state: Path) -> None:
    state.rename(state.parents[3] / "moved")
    state.symlink_to(state.parents[3] / "moved")


LOCKS = [
    ("kata_store", _no_harm, f"{RUN['kata_store']}/lock"),
    ("kata_store", _no_lock, "own"),
    ("kata_store", _lock_is_directory, "own"),
    ("kata_store", _lock_is_link, "own"),
    ("kata_store", _no_state, "own"),
    ("kata_store", _link, "own"),
    ("kata_persist", _no_harm, RUN["kata_persist"]),
    ("kata_persist", _link, "own"),
    ("kata_rs", _no_harm, "own"),
]


@pytest.mark.parametrize(("layout", "harm", "lock"), LOCKS, ids=[f"{one[0]}{one[1].__name__}" for one in LOCKS])
@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
def test_R1_what_is_locked_in_each_state(tmp_path: Path, layout: str, harm: Any, lock: str, present: bool) -> None:
    """The runtime's own object, or ours where that is not to be had; never one that had to be made for it."""
    harm(make(layout, tmp_path))
    before = listing(tmp_path)
    wish: dict[str, Any] = {"documents": SANDBOX[layout], "force": True} if present else {"force": True}
    assert lock_paths(item_of(layout, tmp_path, present=present, **wish), tmp_path) == [lock]
    after = {name: entry for name, entry in listing(tmp_path).items() if name in before}
    assert after == before


@pytest.mark.parametrize("layout", KATA)
def test_R1_what_does_not_exist_yet_is_made_under_our_own_lock(tmp_path: Path, layout: str) -> None:
    assert lock_paths(item_of(layout, tmp_path, documents=SANDBOX[layout]), tmp_path) == ["own"]
    item = item_of(layout, tmp_path, documents=SANDBOX[layout])
    common = item.common_lock()
    assert common is not None and common.is_common and common.path == item.tree.own_lock_path


def test_only_the_rust_runtimes_absents_share_a_lock(tmp_path: Path) -> None:
    for layout in KATA:
        common = item_of(layout, tmp_path, present=False).common_lock()
        assert (common is not None) is (layout == "kata_rs")


def test_D2_tombstones_are_locked_after_the_sandbox(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    (tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}").mkdir()
    wanted = [RUN["kata_persist"], f"run/vc/.sbx-del.{NAME}.{MARK}"]
    assert lock_paths(item_of("kata_persist", tmp_path, present=False), tmp_path) == wanted
    shutil.rmtree(state_of("kata_persist", tmp_path))
    assert lock_paths(item_of("kata_persist", tmp_path, present=False), tmp_path) == ["own", wanted[1]]


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", ".")])
@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH], ids=["EX", "SH"])
@pytest.mark.parametrize("container_id", ["", "app-1"])
def test_R1_a_runtime_at_work_keeps_the_sandbox_and_its_containers(
    tmp_path: Path, layout: str, name: str, kind: int, container_id: str
) -> None:
    state = make(layout, tmp_path, containers=("app-1",))
    before = listing(tmp_path)
    descriptor = os.open(state / name, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        text = error_of(removed(layout, tmp_path, container_id=container_id), LockTimeout)
    finally:
        os.close(descriptor)
    assert f"the lock {state}{'/lock' if name == 'lock' else ''} is held" in text and listing(tmp_path) == before


@contextmanager
def user_of(path: Path, code: str = "os.open(sys.argv[1], os.O_RDONLY)", cwd: Path | None = None) -> Iterator[int]:
    """Another process that has something open, or stands somewhere, and takes no lock."""
    code = f"import os, sys, time\n{code}\nprint(flush=True); time.sleep(60)"
    command = ["some-runtime", "-c", code, str(path)]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE, cwd=cwd) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child.pid
        finally:
            child.kill()


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", "")])
def test_C3_a_runtime_that_waits_for_the_lock_keeps_the_sandbox(
    tmp_path: Path, layout: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on with what we have removed (K5, P5): its open descriptor shows it."""
    link = tmp_path / "by-another-name"
    state = make(layout, tmp_path)
    link.symlink_to(state)
    with user_of(link / name) as pid:
        text = error_of(removed(layout, tmp_path, force=True), InUse)
    assert f"some-runtime (pid {pid}" in text and state.exists()
    assert removed(layout, tmp_path).action == "deleted"


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("place", ["state", "share", "inside"])
def test_D8_whoever_stands_in_it_keeps_it(tmp_path: Path, layout: str, place: str) -> None:
    state = make(layout, tmp_path)
    folder = {"state": state, "share": tmp_path / SHARE / NAME, "inside": state / f"{NAME}-inside" / "deep"}[place]
    folder.mkdir(parents=True, exist_ok=True)
    link = tmp_path / "cwd"
    link.symlink_to(folder)
    with user_of(link, "os.chdir(sys.argv[1])") as pid:
        outcome = removed(layout, tmp_path, force=True)
        assert outcome.action == "failed" and f"some-runtime (pid {pid}" in str(outcome.error)
    assert state.exists() and folder.exists()
    assert removed(layout, tmp_path).action == "deleted"


def test_C2_a_lock_that_went_away_leaves_the_rest_to_somebody_else(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    item = item_of("kata_store", tmp_path, present=False)
    original = item.lock_places

    def late() -> Any:
        places = original()
        (state / "lock").unlink()
        return places

    item.lock_places = late  # type: ignore[method-assign]
    (outcome,) = take_all([item], tmp_path)
    assert outcome.action == "failed" and isinstance(outcome.error, ChangedMeanwhile)
    assert state.exists() and (tmp_path / CONF).exists()


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
