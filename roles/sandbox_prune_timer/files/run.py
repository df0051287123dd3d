# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-pull under the host's lock and write down how it went: ``python3 run.py /etc/sandbox_prune_timer``.

The exit status is 0 if something was pruned or there was nothing to prune, 75 if another run is at work, 1 otherwise.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

TRY_AGAIN = 75  # EX_TEMPFAIL
_stops: list[bool] = []  # not empty when the service is to stop
PATIENCE = 10.0  # seconds from the request to end until it is enforced
FAILED, NOT_PRUNED, TIMEOUT, INTERRUPTED, SUCCESS = "failed", "not_pruned", "timeout", "interrupted", "success"
WORDS = {
    NOT_PRUNED: "the playbook has run no sandbox_prune on this host: does it import sandboxed.containers.prune?",
    TIMEOUT: "it took too long and was ended",
    INTERRUPTED: "it was ended from outside",
    FAILED: "ansible-pull has failed, see journalctl -u sandbox-prune",
}


def main(folder: Path) -> int:
    """One run, from the lock to the result."""
    settings = _read(folder / "settings.json")
    lock = take(settings["lock"])
    if lock is None:
        print(f"another run has the lock {settings['lock']}; this one does nothing", flush=True)
        return TRY_AGAIN
    signal.signal(signal.SIGTERM, _interrupt)
    result = run(settings, _read(folder / "environment.json"))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    replace(Path(settings["result"]), json.dumps(result, indent=2) + "\n", 0o600)
    if settings["metrics"]:
        replace(Path(settings["metrics"]), metrics(result), 0o644)
    print(f"{result['outcome']}: {result['msg']}", flush=True)
    return 0 if result["outcome"] == SUCCESS else 1


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _interrupt(_number: int, _frame: object) -> None:
    """Note it only: an exception could come between the start of ansible-pull and our knowing of it."""
    _stops.append(True)


def take(path: str) -> int | None:
    """The descriptor of the held lock, which ends with this process; None if somebody else has it. Never unlinked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def run(settings: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """Run ansible-pull to its end; what the result says."""
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="sandbox_prune_timer.") as scratch:
        answers = Path(scratch) / "answers"
        known = {"HOME": "/root", **os.environ, "ANSIBLE_NOCOLOR": "1", **environment}
        usual = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback"
        known["ANSIBLE_CALLBACK_PLUGINS"] = f"{settings['callbacks']}:{known.get('ANSIBLE_CALLBACK_PLUGINS', usual)}"
        known["SANDBOX_PRUNE_TIMER_ANSWERS"] = str(answers)
        ended, code = pull(settings["command"], known, float(settings["timeout"]))
        lines = answers.read_text(encoding="utf-8").splitlines() if answers.exists() else []
    result = judge(ended, code, [json.loads(line) for line in lines])
    success = time.time() if result["outcome"] == SUCCESS else _last_success(settings["result"])
    times = {"started": round(started, 3), "duration": round(time.time() - started, 3)}
    return {"schema": 1, **times, "exit_code": code, **result, "last_success": success and round(success, 3)}


def pull(command: list[str], environment: dict[str, str], timeout: float) -> tuple[str, int | None]:
    """Run the command in a session of its own. How it ended, if not by itself, and its exit status."""
    try:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as exc:
        print(f"{command[0]}: {exc.strerror}", flush=True)
        return FAILED, None
    deadline = time.monotonic() + timeout
    while not _stops and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            return "", process.wait(0.2)
    return INTERRUPTED if _stops else TIMEOUT, end(process)


def end(process: subprocess.Popen[bytes]) -> int:
    """End its session, by force if it does not. The leader is reaped last, so the number stays theirs till then."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + PATIENCE
        while number == signal.SIGTERM and _lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
    return process.wait()


def _lives(pid: int) -> bool:
    """Whether it has not exited yet; it is not reaped by that."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def judge(ended: str, code: int | None, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The outcome, in a word and in words, and how many objects were removed, skipped or failed."""
    refused = any(one["failed"] for one in answers)
    outcome = ended or (FAILED if code != 0 or refused else SUCCESS if answers else NOT_PRUNED)
    words = [one["msg"] for one in answers]
    if not (outcome == SUCCESS or (outcome == FAILED and refused)):
        words.append(WORDS[outcome])
    actions = (("removed", "deleted"), ("skipped", "skipped"), ("failed", "failed"))
    counts = {name: sum(one["actions"].get(action, 0) for one in answers) for name, action in actions}
    return {"outcome": outcome, "msg": " ".join(words), "changed": any(one["changed"] for one in answers), **counts}


def _last_success(path: str) -> float | None:
    try:
        found = _read(Path(path)).get("last_success")
    except (OSError, ValueError, AttributeError):
        return None
    return float(found) if isinstance(found, (int, float)) else None


def metrics(result: dict[str, Any]) -> str:
    """The result as Prometheus reads it."""
    rows = [
        ("success", "Whether the last run has pruned, or had nothing to prune.", int(result["outcome"] == SUCCESS)),
        ("last_run_timestamp_seconds", "When the last run began.", result["started"]),
        (
            "last_success_timestamp_seconds",
            "When the last successful run ended; 0: never.",
            result["last_success"] or 0,
        ),
        ("duration_seconds", "How long the last run took.", result["duration"]),
        ("removed_objects", "Leftovers that the last run has removed.", result["removed"]),
        ("skipped_objects", "Leftovers that the last run has skipped.", result["skipped"]),
        ("failed_objects", "Leftovers that the last run could not remove.", result["failed"]),
    ]
    head = "sandbox_prune_"
    return "".join(
        f"# HELP {head}{name} {meaning}\n# TYPE {head}{name} gauge\n{head}{name} {value}\n"
        for name, meaning, value in rows
    )


def replace(path: Path, text: str, mode: int) -> None:
    """Write it so that a reader sees the old or the new one; hidden meanwhile, so that no collector reads it."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            os.fchmod(descriptor, mode)
            handle.write(text)
            handle.flush()
            os.fsync(descriptor)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
