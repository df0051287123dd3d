# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the role sandbox_prune_timer with commands in ansible-pull's place, and the role's unit."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROLE = Path(__file__).resolve().parents[2] / "roles/sandbox_prune_timer"
PROGRAM = ROLE / "files/run.py"
# Each of them gives a service a mount namespace of its own, where leftover mounts cannot be unmounted (safety.md D3).
NAMESPACING = set(
    """
    BindPaths BindReadOnlyPaths DynamicUser ExecPaths ExtensionDirectories ExtensionImages ImportCredential
    InaccessiblePaths LoadCredential LoadCredentialEncrypted LogNamespace MountAPIVFS MountFlags MountImages
    NetworkNamespacePath NoExecPaths PrivateBPF PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs
    PrivateTmp PrivateUsers ProcSubset ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs
    ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem ReadOnlyPaths ReadWritePaths RootDirectory
    RootHash RootImage RootVerity SetCredential SetCredentialEncrypted TemporaryFileSystem
    """.split()  # noqa: SIM905
)
ANSWER = {"failed": False, "changed": True, "msg": "2 leftovers removed.", "actions": {"deleted": 2, "skipped": 1}}
REFUSED = {"failed": True, "changed": False, "msg": "more than max_removals", "actions": {}}


@pytest.mark.parametrize("unit", ["sandbox-prune.service.j2", "sandbox-prune.timer.j2"])
def test_units_make_no_mount_namespace(unit: str) -> None:
    lines = (ROLE / "templates" / unit).read_text(encoding="utf-8").splitlines()
    used = {line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    assert used
    assert used & NAMESPACING == set()


class Ground:
    """Settings below a folder, and runs of the program with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result, self.metrics = folder / "state/result.json", folder / "metrics/sandbox_prune.prom"
        self.lock = folder / "lock"
        for path in (self.result, self.metrics):
            path.parent.mkdir()

    def command(self, script: str, timeout: float = 30) -> list[str]:
        settings = {
            "command": ["sh", "-c", script],
            "callbacks": "/nowhere",
            "lock": str(self.lock),
            "result": str(self.result),
            "metrics": str(self.metrics),
            "timeout": timeout,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (self.folder / "environment.json").write_text(json.dumps({"GIVEN": "given"}), encoding="utf-8")
        return [sys.executable, str(PROGRAM), str(self.folder)]

    def run(self, script: str, timeout: float = 30) -> int:
        return subprocess.run(self.command(script, timeout), check=False, stdout=subprocess.DEVNULL).returncode

    def found(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
        return content


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def answering(*answers: dict[str, Any]) -> str:
    """A script that does what the callback does."""
    return "".join(f"echo '{json.dumps(one)}' >> $SANDBOX_PRUNE_TIMER_ANSWERS; " for one in answers)


@pytest.mark.parametrize(
    ("script", "code", "outcome", "removed", "words"),
    [
        (answering(ANSWER), 0, "success", 2, "2 leftovers removed."),
        (answering(ANSWER, ANSWER), 0, "success", 4, "2 leftovers removed. 2 leftovers removed."),
        (answering(REFUSED) + "exit 2", 1, "failed", 0, "more than max_removals"),
        (answering(REFUSED), 1, "failed", 0, "more than max_removals"),
        (answering(ANSWER) + "exit 2", 1, "failed", 2, "2 leftovers removed. ansible-pull has failed, see"),
        ("exit 1", 1, "failed", 0, "ansible-pull has failed, see"),
        ("exit 0", 1, "not_pruned", 0, "the playbook has run no sandbox_prune on this host"),
        ('test "$GIVEN" = given && exit 7', 1, "failed", 0, "ansible-pull has failed"),
        ("kill -9 $$", 1, "failed", 0, "ansible-pull has failed"),
    ],
)
def test_outcome(ground: Ground, script: str, code: int, outcome: str, removed: int, words: str) -> None:
    assert ground.run(script) == code
    found = ground.found()
    assert (found["outcome"], found["removed"]) == (outcome, removed)
    assert found["msg"].startswith(words)
    assert (found["last_success"] is not None) == (outcome == "success")
    rows = ground.metrics.read_text(encoding="utf-8").splitlines()
    assert f"sandbox_prune_success {int(outcome == 'success')}" in rows
    assert f"sandbox_prune_removed_objects {removed}" in rows
    assert [oct(path.stat().st_mode & 0o777) for path in (ground.result, ground.metrics)] == ["0o600", "0o644"]
    assert os.listdir(ground.metrics.parent) == [ground.metrics.name]


def test_last_success_outlives_failures_and_a_broken_result(ground: Ground) -> None:
    ground.run(answering(ANSWER))
    success = ground.found()["last_success"]
    ground.run("exit 1")
    assert ground.found()["last_success"] == success
    ground.result.write_text("[]", encoding="utf-8")
    assert ground.run("exit 1") == 1
    assert ground.found()["last_success"] is None


def test_no_command(ground: Ground) -> None:
    words = ground.command("")
    settings = json.loads((ground.folder / "settings.json").read_text(encoding="utf-8"))
    (ground.folder / "settings.json").write_text(json.dumps({**settings, "command": ["/nowhere"]}), encoding="utf-8")
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "/nowhere: No such file or directory" in done.stdout
    assert (ground.found()["outcome"], ground.found()["exit_code"]) == ("failed", None)


def test_too_long_a_run_is_ended_with_all_that_it_started(ground: Ground) -> None:
    assert ground.run(f"sleep 60 & echo $! > {ground.folder}/child; {answering(ANSWER)} sleep 60", timeout=0.5) == 1
    found = ground.found()
    assert (found["outcome"], found["removed"]) == ("timeout", 2)
    assert "it took too long and was ended" in found["msg"]
    assert not is_at_work(int((ground.folder / "child").read_text(encoding="ascii")))


def test_a_stop_of_the_service_is_written_down(ground: Ground) -> None:
    process = subprocess.Popen(ground.command(f"echo $$ > {ground.folder}/child; exec sleep 60"))
    try:
        wait_for(ground.folder / "child")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1
    finally:
        process.kill()
    assert ground.found()["outcome"] == "interrupted"
    assert not is_at_work(int((ground.folder / "child").read_text(encoding="ascii")))


def test_one_run_at_a_time(ground: Ground) -> None:
    """Who comes second writes nothing; the lock file stays, and the command does not inherit it."""
    with open(ground.lock, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ground.run(answering(ANSWER)) == 75
    assert not ground.result.exists()
    assert ground.run(f"readlink /proc/$$/fd/* > {ground.folder}/open; {answering(ANSWER)}") == 0
    assert str(ground.lock) not in (ground.folder / "open").read_text(encoding="utf-8").splitlines()
    assert ground.lock.exists()


def is_at_work(pid: int) -> bool:
    try:
        return " Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2][:3]
    except FileNotFoundError:
        return False


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text(encoding="ascii")):
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
