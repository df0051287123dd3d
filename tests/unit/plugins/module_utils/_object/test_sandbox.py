# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InUse,
    InvalidInput,
    NotProved,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import started_before
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object import owned, removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.flat_sandbox import FlatSandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Outcome, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

NEEDS_PIDFD = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
NAME = f"web-{os.getpid()}"  # no other process on this host carries it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@contextmanager
def titled(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real process with this command line, as a runtime's would look."""
    code = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen((argv[0], "-c", code, *argv[1:]), executable=sys.executable, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child
        finally:
            child.kill()


@contextmanager
def sharing(path: Path, owner: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens there until so many seconds after the owner's end."""
    code = (
        "import os, select, sys, time; poll = select.poll(); poll.register(os.pidfd_open(int(sys.argv[1])), 1);"
        " poll.poll(); time.sleep(float(sys.argv[2]))"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        child = subprocess.Popen([sys.executable, "-c", code, str(owner), str(seconds)], stdin=listener.fileno())
    with child:
        try:
            yield child
        finally:
            child.kill()


def document(name: str = NAME, **more: Any) -> dict[str, Any]:
    return {"id": name, "status": "running", "sandbox": {"id": NAME, "pid": 0}, **more}


def make(root: Path, name: str = NAME, **more: Any) -> None:
    (root / f"{name}_sandbox:{NAME}.state").write_text(json.dumps(document(name, **more)))
    (root / f"{name}_sandbox:{NAME}.lock").touch()


def take(root: Path, check_mode: bool = False, asserted: bool = True, seconds: float = 0.2, **wish: Any) -> Outcome:
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)})
    item = FlatSandbox(Wish(NAME, **wish), tree)
    (outcome,) = run([item], Run(lambda: HostView("/", asserted), LockBudget(seconds), check_mode, durable=False))
    return outcome


def removed(root: Path, **options: Any) -> Outcome:
    return take(root, present=False, **options)


def error_of(outcome: Outcome, kind: type[Exception]) -> str:
    assert outcome.action == "failed" and isinstance(outcome.error, kind), outcome
    return str(outcome.error)


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_E3_a_live_sandbox_is_never_removed_and_its_owner_is_named(root: Path, check_mode: bool, force: bool) -> None:
    make(root)
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as child:
        text = error_of(removed(root, check_mode=check_mode, force=force), InUse)
        assert child.poll() is None
    assert f"Sandbox '{NAME}' (gvisor) is in use: runsc-sandbox (pid {child.pid}, running since" in text
    assert "stop_processes=true" in text and len(os.listdir(root)) == 2


@pytest.mark.parametrize("options", [{}, {"force": True}, {"stop_processes": True}], ids=["plain", "force", "stop"])
def test_F3_a_live_sandboxs_document_is_never_written(root: Path, options: dict[str, Any]) -> None:
    make(root)
    before = (root / f"{NAME}_sandbox:{NAME}.state").read_bytes()
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as child:
        text = error_of(take(root, documents={"state": document(status="stopped")}, **options), InUse)
        assert take(root, documents={"state": document()}).action == "unchanged", "the same document is no change"
        assert child.poll() is None
    assert "Stop the container first" in text and "stop_processes" not in text
    assert (root / f"{NAME}_sandbox:{NAME}.state").read_bytes() == before


def test_an_orphan_without_a_record_stands_in_the_way_of_a_new_one(root: Path) -> None:
    """Its runsc lives on although create was killed: a new state beside it would be a lie (G4)."""
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME):
        error_of(take(root, documents={"state": document()}), InUse)
        assert os.listdir(root) == []
    assert take(root, documents={"state": document()}).action == "created"


def test_something_new_does_not_need_the_sight_of_all_processes(root: Path) -> None:
    assert take(root, asserted=False, documents={"state": document()}).action == "created"
    text = error_of(take(root, asserted=False, documents={"state": document(status="stopped")}), NotProved)
    assert "force=true" in text
    assert take(root, asserted=False, force=True, documents={"state": document(status="stopped")}).action == "updated"


@NEEDS_PIDFD
def test_stop_processes_ends_the_owners_and_nobody_else(root: Path) -> None:
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as owner:
        with titled("runsc-sandbox", f"--root={root}", "boot", NAME + "x") as other, titled("vi", NAME) as editor:
            make(root)
            assert removed(root, check_mode=True, stop_processes=True).action == "deleted"
            assert owner.poll() is None, "check mode ends nobody"
            outcome = removed(root, stop_processes=True)
            assert outcome.action == "deleted", outcome.error
            assert owner.wait(timeout=60) == -signal.SIGTERM
            assert other.poll() is None and editor.poll() is None
    assert os.listdir(root) == []


@NEEDS_PIDFD
@pytest.mark.parametrize("stays", [False, True], ids=["follows", "stays"])
def test_who_shares_the_socket_of_an_ended_owner_is_given_a_moment(
    root: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """gVisor's stubs hold the control socket until the kernel has ended them too. A stranger stays."""
    monkeypatch.setattr(owned, "_FOLLOW_SECONDS", 0.5 if stays else 10.0)
    make(root)
    path = root / f"runsc-{NAME}.sock"
    with (
        titled("runsc-sandbox", f"--root={root}", "boot", NAME) as owner,
        sharing(path, owner.pid, 60.0 if stays else 0.3) as other,
    ):
        outcome = removed(root, stop_processes=True)
        if stays:
            assert other.poll() is None
        else:
            other.wait(timeout=60)
    if stays:
        assert f"somebody listens on {path}. Nothing was removed." in error_of(outcome, InUse)
        assert len(os.listdir(root)) == 3
    else:
        assert outcome.action == "deleted", outcome.error
        assert os.listdir(root) == []


def test_E3_the_state_stays_as_long_as_its_process_does(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ending it has said."""
    monkeypatch.setattr(owned, "_FOLLOW_SECONDS", 0.1)
    monkeypatch.setattr(removal, "stop", lambda *_given, **_more: True)
    make(root)
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as owner:
        text = error_of(removed(root, stop_processes=True), InUse)
    assert f"runsc-sandbox (pid {owner.pid}," in text and text.endswith("Nothing was removed.")
    assert len(os.listdir(root)) == 2


@NEEDS_PIDFD
def test_E1_an_owner_that_is_younger_than_the_state_is_not_stopped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root)
    # Without the tolerance for whole seconds, which would have to be waited for.
    monkeypatch.setattr(removal, "started_before", partial(started_before, slack=0.0))
    time.sleep(0.1)
    with titled("runsc-sandbox", f"--root={root}", "boot", NAME) as owner:
        assert "not proved to be older than its state" in error_of(removed(root, stop_processes=True), NotProved)
        assert owner.poll() is None
    assert len(os.listdir(root)) == 2


@NEEDS_PIDFD
@pytest.mark.parametrize("doubt", ["hidden processes", "another that may be an owner", "an unreadable document"])
def test_A1_stopping_the_proved_owner_does_not_decide_about_the_others(root: Path, doubt: str) -> None:
    """What is unknown once the proved owners are gone stays unknown, and is kept without force."""
    make(root)
    if doubt == "an unreadable document":
        (root / f"ctr_sandbox:{NAME}.state").mkdir()
    second = f"--root={'relative' if doubt == 'another that may be an owner' else root}"
    name = NAME if doubt == "another that may be an owner" else NAME + "x"
    with (
        titled("runsc-sandbox", f"--root={root}", "boot", NAME),
        titled("runsc-sandbox", second, "boot", name) as other,
    ):
        outcome = removed(root, stop_processes=True, asserted=doubt != "hidden processes")
        assert other.poll() is None
    assert outcome.action == "failed"
    assert (root / f"{NAME}_sandbox:{NAME}.state").exists()


def test_A6_a_shims_sandbox_is_left_to_the_engine(tmp_path: Path) -> None:
    root = tmp_path / "k8s.io"
    root.mkdir()
    make(root)
    with titled("containerd-shim-runsc-v1", "-namespace", "k8s.io", "-id", NAME) as shim:
        text = error_of(removed(root, stop_processes=True, force=True), InUse)
        assert shim.poll() is None
    assert "engine" in text and len(os.listdir(root)) == 2


@NEEDS_PIDFD
def test_the_filestore_of_an_orphan_is_found_by_its_bundle(root: Path, tmp_path: Path) -> None:
    """The create was killed before the state was written: only the process tells where the filestore is."""
    filestore = tmp_path / "bundle" / "rootfs" / f".gvisor.filestore.{NAME}"
    filestore.parent.mkdir(parents=True)
    filestore.touch()
    with titled("runsc-sandbox", f"--root={root}", "boot", f"--bundle={tmp_path}/bundle", NAME):
        (root / f"{NAME}_sandbox:{NAME}.lock").touch()
        outcome = removed(root, stop_processes=True)
        assert outcome.action == "deleted", outcome.error
    assert not filestore.exists() and os.listdir(root) == []


def test_without_a_state_the_user_is_told_of_the_filestore(root: Path) -> None:
    (root / f"{NAME}_sandbox:{NAME}.lock").touch()
    outcome = removed(root)
    assert outcome.action == "deleted" and f".gvisor.filestore.{NAME}" in outcome.plan.note


def test_C3_a_runtime_that_waits_for_the_lock_keeps_the_object(root: Path) -> None:
    """It would go on with the lock file that we have removed (G2). Only its descriptor shows it."""
    make(root)
    code = "import os, sys, time; os.open(sys.argv[1], os.O_RDONLY); print(flush=True); time.sleep(60)"
    command = ["other-runtime", "-c", code, str(root / f"{NAME}_sandbox:{NAME}.lock")]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        text = error_of(removed(root, force=True), InUse)
        child.kill()
    assert f"other-runtime (pid {child.pid}" in text and len(os.listdir(root)) == 2
    assert removed(root).action == "deleted"


def test_G3_a_lock_that_was_made_for_nothing_is_taken_away_again(root: Path) -> None:
    """The plan of a creation fails under the lock, since somebody else's state has come: here, an owner."""
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)})

    class Overtaken(FlatSandbox):
        def lock_places(self) -> Any:
            places = super().lock_places()
            self.wish = self.wish._replace(documents={})
            return places

    item = Overtaken(Wish(NAME, documents={"state": document()}), tree)
    (outcome,) = run([item], Run(lambda: HostView("/", True), LockBudget(1), False, False))
    error_of(outcome, InvalidInput)
    assert os.listdir(root) == []


def test_a_damaged_document_that_nobody_replaces_is_told(root: Path) -> None:
    make(root)
    (root / f"{NAME}_sandbox:{NAME}.state").write_text("{cut")
    outcome = take(root)
    assert outcome.action == "unchanged"
    assert "not valid JSON" in outcome.plan.note and "Give documents.state" in outcome.plan.note


def test_fail_if_exists_counts_a_damaged_state_too(root: Path) -> None:
    make(root)
    (root / f"{NAME}_sandbox:{NAME}.state").write_text("")
    error_of(take(root, documents={"state": document()}, fail_if_exists=True), AlreadyExists)


@pytest.mark.long
@pytest.mark.parametrize("fail_if_exists", [True, False])
def test_promise_4_of_many_creators_one_wins(root: Path, fail_if_exists: bool) -> None:
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                outcome = take(
                    root, documents={"state": document(number=number)}, fail_if_exists=fail_if_exists, seconds=20
                )
                os._exit({"created": 10, "updated": 11, "unchanged": 12, "failed": 13}[outcome.action])
            except BaseException:
                os._exit(1)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes.count(10) == 1, codes
    assert set(codes) <= ({10, 13} if fail_if_exists else {10, 11, 13}), codes
    state = json.loads((root / f"{NAME}_sandbox:{NAME}.state").read_bytes())
    assert state["number"] in range(8)
    assert len(os.listdir(root)) == 2


@pytest.mark.long
def test_promise_4_creators_of_the_same_all_succeed(root: Path) -> None:
    children = []
    for _number in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                outcome = take(root, documents={"state": document()}, seconds=20)
                os._exit({"created": 10, "unchanged": 12}.get(outcome.action, 13))
            except BaseException:
                os._exit(1)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes.count(10) == 1 and codes.count(12) == 7, codes


@pytest.mark.parametrize(
    ("container_id", "label"), [("", "Sandbox '{}' (gvisor)"), ("c", "Container 'c' of sandbox '{}' (gvisor)")]
)
def test_the_label_names_what_it_is(root: Path, container_id: str, label: str) -> None:
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)})
    assert FlatSandbox(Wish(NAME, container_id=container_id), tree).label == label.format(NAME)
