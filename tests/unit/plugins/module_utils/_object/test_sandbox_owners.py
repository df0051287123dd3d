# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, ProcessTable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import owners_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Owners, judge
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.lab.processes import state, wait_until

GONE_PID = 2**22 + 12345  # above the kernel's limit: no process has it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def put(root: Path, name: str = "c1", **more: Any) -> None:
    document = {"id": name, "bundleDir": "/b1", "goferPid": 0, "sandbox": {"id": "c1", "pid": 0}, **more}
    (root / f"{name}_sandbox:c1.state").write_text(json.dumps(document))


def look(
    root: Path, *processes: Process, asserted: bool | None = True, scan: bool = False, layout: str = "gvisor"
) -> Owners:
    """What owners_of finds on a host with these processes, or with the real ones."""
    tree = Tree(LAYOUTS[layout], "/", {"run_root": str(root)})
    view = HostView("/", asserted)
    reading = tree.read(view, "c1")
    if not scan:
        view.once("processes", lambda: ProcessTable(processes))
    for one in processes:  # of our own pid namespace
        view.once(("namespace pids", one.pid), partial(tuple, [one.pid]))
    return owners_of(tree.layout, tree.roots, reading, view)


def process(argv: str, pid: int = 4711, **more: Any) -> Process:
    words = tuple(argv.split())
    program = words[0].rsplit("/", 1)[-1] if words else "exe"
    base = Process(pid, 1, "S", 100, program, "/usr/bin/" + program, words, "/", "/", ("/user.slice",), 0, True, False)
    return base._replace(**more)


def sandbox(root: Path, name: str = "c1") -> str:
    return f"runsc-sandbox --root={root} boot --bundle=/b1 {name}"


def test_A7_a_process_is_found_although_no_pid_is_recorded(root: Path) -> None:
    """A truncated state, or none at all, while the sandbox lives (safety.md A7)."""
    (root / "c1_sandbox:c1.state").write_bytes(b"")
    found = look(root, process(sandbox(root)))
    assert len(found.proved) == 1 and judge(found.evidence).kind == "live"
    assert "runsc-sandbox (pid 4711, running since " in found.evidence.owners[0] and found.evidence.owners[0].endswith(
        "runs it"
    )


def test_A7_a_gofer_is_found_by_the_bundle(root: Path) -> None:
    put(root, goferPid=4711)
    found = look(root, process(f"runsc-gofer --root={root} gofer --bundle /b1 --spec-fd=3"))
    assert [claim.why for claim in found.proved] == ["serves its files"]


def test_A7_a_recorded_pid_that_is_gone_is_evidence_of_death(root: Path) -> None:
    put(root, goferPid=8, sandbox={"id": "c1", "pid": 9})
    found = look(root, process("/bin/sh", pid=10))
    assert found.evidence.dead == ("recorded pid 9 (sandbox) is gone", "recorded pid 8 (gofer) is gone")
    assert judge(found.evidence).kind == "leftover"


def test_R7_a_reused_pid_is_no_owner(root: Path) -> None:
    put(root, sandbox={"id": "c1", "pid": 4711})
    found = look(root, process("/bin/sleep 600"))
    (sentence,) = found.evidence.dead
    assert sentence.startswith("recorded pid 4711 (sandbox) is now sleep (pid 4711") and not found.proved
    assert judge(found.evidence).kind == "leftover"


def test_A9_a_zombie_is_dead_and_a_stopped_process_is_alive(root: Path) -> None:
    put(root, sandbox={"id": "c1", "pid": 4711})
    zombie = process("", state="Z", exe=None, dead=True)
    assert judge(look(root, zombie).evidence).kind == "leftover"
    assert judge(look(root, process(sandbox(root), state="T")).evidence).kind == "live"


def test_A1_a_recorded_process_that_cannot_be_read_may_be_the_owner(root: Path) -> None:
    put(root, sandbox={"id": "c1", "pid": 4711})
    hidden = process("", state="?", exe=None, complete=False)
    found = look(root, hidden)
    assert judge(found.evidence).kind == "unknown"
    assert "what it is cannot be read" in found.evidence.suspects[0]


def test_A1_a_process_that_hides_its_arguments_may_be_anybodys(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its way out a sandbox has lost its arguments and still holds files; only the user's word outweighs that."""
    put(root)
    leaving = process("", exe=None, complete=False)
    assert judge(look(root, leaving, asserted=None).evidence).kind == "unknown"
    assert judge(look(root, leaving, asserted=True).evidence).kind == "leftover"


def test_A7_a_recorded_process_that_names_the_sandbox_in_another_root_is_no_evidence_of_death(
    root: Path, tmp_path: Path
) -> None:
    """In its own mount namespace the same path may be another directory."""
    put(root, sandbox={"id": "c1", "pid": 4711})
    (tmp_path / "other").mkdir()
    found = look(root, process(sandbox(tmp_path / "other")))
    assert not found.proved and judge(found.evidence).kind == "unknown"
    put(root)
    assert judge(look(root, process(sandbox(tmp_path / "other"))).evidence).kind == "leftover", "not recorded: not ours"


def test_A4_a_bundle_of_containerd_keeps_the_state(root: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "io.containerd.runtime.v2.task" / "k8s.io" / "c1"
    put(root, bundleDir=str(bundle))
    assert judge(look(root).evidence).kind == "leftover"
    bundle.mkdir(parents=True)
    found = look(root)
    assert judge(found.evidence).kind == "unknown" and str(bundle) in found.evidence.suspects[0]


def test_promise_7_an_unreadable_state_is_unknown(root: Path) -> None:
    (root / "c1_sandbox:c1.state").mkdir()
    found = look(root)
    assert judge(found.evidence).kind == "unknown" and "cannot be read" in found.evidence.unknown[0]


def test_R9_a_corrupt_state_of_nobody_is_a_leftover(root: Path) -> None:
    (root / "c1_sandbox:c1.state").write_bytes(b"{cut")
    assert judge(look(root).evidence).kind == "leftover"


def test_legacy_a_corrupt_state_may_be_of_any_sandbox_of_its_root(root: Path) -> None:
    """Which pod a container belonged to stood in the state alone, and the pod's sandbox does not carry its id."""
    (root / "c1.state").write_bytes(b"{cut")
    found = look(root, process(sandbox(root, "pod")), layout="gvisor_legacy")
    assert judge(found.evidence).kind == "unknown"
    assert judge(look(root, process(sandbox(root / "x", "pod")), layout="gvisor_legacy").evidence).kind in (
        "unknown",
        "leftover",
    )
    assert judge(look(root, layout="gvisor_legacy").evidence).kind == "leftover"


def test_a_pods_owners_are_told_with_the_sandbox_first(root: Path) -> None:
    put(root)
    put(root, "ctr", bundleDir="/b2", goferPid=1001)
    found = look(
        root,
        process(f"runsc-gofer --root={root} gofer --bundle=/b2", pid=1001),
        process(f"runsc --root {root} start ctr", pid=1002),
        process(sandbox(root), pid=1003),
    )
    assert [claim.process.pid for claim in found.proved] == [1003, 1002, 1001]


def test_A2_blindness_is_passed_on(root: Path) -> None:
    put(root)
    assert judge(look(root, asserted=False).evidence).kind == "unknown"


@contextmanager
def titled(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real process with exactly this command line."""
    code = "import sys, time; print(flush=True); time.sleep(60)"
    command = (argv[0], "-c", code, *argv[1:])
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child
        finally:
            child.kill()


def test_a_real_process_is_found_stopped_too_and_forgotten_when_dead(root: Path) -> None:
    name = f"c1-{os.getpid()}"
    (root / f"{name}_sandbox:{name}.state").write_text("{}")
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(root)})

    def kinds() -> tuple[str, tuple[str, ...]]:
        view = HostView("/", True)
        found = owners_of(tree.layout, tree.roots, tree.read(view, name), view)
        return judge(found.evidence).kind, found.evidence.owners

    assert kinds()[0] == "leftover"
    with titled("runsc-sandbox", f"--root={root}", "boot", name) as child:
        kind, owners = kinds()
        assert kind == "live" and f"pid {child.pid}" in owners[0]
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: state(child.pid) == "T", "it to stop")
        kind, owners = kinds()
        assert kind == "live" and "stopped" in owners[0]
        child.kill()
        wait_until(lambda: state(child.pid) == "Z", "it to end")
        assert kinds()[0] == "leftover", "a zombie with a single thread is dead"
    assert kinds()[0] == "leftover"


def test_our_own_command_line_is_no_owner(root: Path) -> None:
    put(root)
    assert judge(look(root, scan=True).evidence).kind == "leftover"
