# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a task in a fresh process, alone or under strace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.faults import tracing
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT
from ansible_collections.sandboxed.containers.tests.faults.tracing import Call, Point

_HERE = Path(__file__).resolve().parent
_PLUGINS = _HERE.parents[1] / "plugins"
_MODULES = _PLUGINS / "modules"
_PACKAGE = "ansible_collections.sandboxed.containers.plugins"
# A module imports its layout only when it runs: here once, and not in each fork.
_IMPORTED = [
    f"{_PACKAGE}.{folder}.{path.stem}"
    for folder in ("modules", "module_utils._layout")
    for path in sorted((_PLUGINS / folder.replace(".", "/")).glob("[a-z]*.py"))
]
_SECONDS = 120.0  # more than any run takes; one that takes longer hangs
# A host of its own as far as a task can see, with no process but its own: strace, which names all paths in its
# arguments, would be taken for an owner. From outside the tasks are seen as ever.
_HOST = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


class Task(NamedTuple):
    """A module's name or the path of another script, and its options; ROOT in them is the case's directory."""

    module: str
    options: dict[str, Any]

    @property
    def script(self) -> Path:
        return Path(self.module) if "/" in self.module else _MODULES / f"{self.module}.py"


class Ended(NamedTuple):
    """How a task ended. answer: its JSON, None when there is none. text: all that it wrote."""

    status: int
    answer: dict[str, Any] | None
    text: str

    @property
    def killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    @property
    def failed(self) -> bool:
        return self.answer is None or bool(self.answer.get("failed")) or self.status != 0

    @property
    def changed(self) -> bool:
        return bool((self.answer or {}).get("changed"))

    @property
    def message(self) -> str:
        return str((self.answer or {}).get("msg", self.text))


class Worker:
    """A warm process that forks into tasks, on a host of their own, and a directory for them. For one thread."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "case"
        self._folder = folder
        self._trace = folder / "trace"
        folder.mkdir(parents=True, exist_ok=True)
        self._popen: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end_host()

    @property
    def _host(self) -> subprocess.Popen[str]:
        """The host, which is made when it is first needed."""
        if self._popen is None:
            self._popen = subprocess.Popen(
                [*_HOST, sys.executable, str(_HERE / "runner.py"), *_IMPORTED],
                env={**os.environ, "PYTHONHASHSEED": "0"},
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._popen

    def _end_host(self) -> None:
        if self._popen is not None:
            self._popen.communicate(timeout=_SECONDS)
            self._popen = None

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """After an error in the with statement nobody knows what the host would answer next: another one is made."""
        try:
            yield
        except BaseException:
            self._host.kill()
            self._end_host()
            raise

    def clear(self) -> None:
        """Make the directory empty."""
        if self.root.exists():
            shutil.rmtree(self.root)
        self.root.mkdir(parents=True)

    def run(self, task: Task) -> Ended:
        """Run a task to its end."""
        return self.run_together([task])[0]

    def run_together(self, tasks: Sequence[Task]) -> list[Ended]:
        """Run several tasks that start at the same time; how they ended, in the same order."""
        with self._in_step():
            self._start(tasks, stopped=False)
            statuses = [self._line() for _task in tasks]
        return [self._ended(number, status) for number, status in enumerate(statuses)]

    def trace(self, task: Task, paths: list[Path], point: Point | None = None) -> tuple[Ended, list[Call]]:
        """Run a task under strace, with a fault at one call. Also returns the calls that were made on these paths."""
        with self._in_step():
            (pid,) = self._start([task], stopped=True)
            with self._traced(pid, paths, point) as strace:
                strace.wait(_SECONDS)
            status = self._line()
        return self._ended(0, status), tracing.calls(self._trace, self.root)

    def overlap(self, first: Task, second: Task, paths: list[Path], point: Point) -> tuple[Ended, Ended, bool]:
        """Run a task up to a call, then another one to its end, and then the rest of the first.

        Also returns whether the first one came to the call at all. The second one never waits for the first.
        """
        with self._in_step():
            one, other = self._start([first, second], stopped=True)
            with self._traced(one, paths, point) as strace:
                self._await(
                    lambda: strace.poll() is not None or tracing.is_paused(self._trace, point.call), f"pause {point}"
                )
                paused = strace.poll() is None
                os.kill(other, signal.SIGCONT)
                self._await(lambda: _state_of(other) == "Z", "the second task to end")
                strace.terminate()  # which lets the first one go on
                strace.wait(_SECONDS)
            statuses = self._line(), self._line()
        return self._ended(0, statuses[0]), self._ended(1, statuses[1]), paused

    @contextmanager
    def _traced(self, pid: int, paths: list[Path], point: Point | None) -> Iterator[subprocess.Popen[bytes]]:
        """Let a stopped task go on under strace. An error in the with statement ends both."""
        self._trace.write_bytes(b"")
        with open(self._folder / "strace", "w+", encoding="utf-8") as said:
            words = tracing.words(pid, self._trace, paths, point)
            strace = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=said)
            try:
                self._await(lambda: "attached" in self._read("strace"), f"strace to attach: {self._read('strace')}")
                os.kill(pid, signal.SIGCONT)
                yield strace
            finally:
                if strace.poll() is None:
                    os.kill(pid, signal.SIGKILL)  # not yet reaped by the runner, so it is still this process
                    strace.kill()
                    strace.wait()

    def _start(self, tasks: Sequence[Task], stopped: bool) -> list[int]:
        """Start tasks; the pids of those that have stopped."""
        requests = [
            {
                "script": str(task.script),
                "options": json.loads(json.dumps(task.options).replace(ROOT, str(self.root))),
                "output": str(self._folder / f"output-{number}"),
                "errors": str(self._folder / f"errors-{number}"),
                "chance": (number << 32) + 1 if stopped else 0,
            }
            for number, task in enumerate(tasks)
        ]
        assert self._host.stdin is not None  # asked for above
        self._host.stdin.write(json.dumps(requests) + "\n")
        self._host.stdin.flush()
        assert self._line() == len(tasks)
        if not stopped:
            return []
        (runner,) = _children(self._host.pid)
        pids = _children(runner)
        self._await(lambda: all(_state_of(pid) == "T" for pid in pids), f"processes {pids} to stop")
        return pids

    def _line(self) -> int:
        assert self._host.stdout is not None  # asked for above
        return int(self._host.stdout.readline())

    def _ended(self, number: int, status: int) -> Ended:
        output, errors = self._read(f"output-{number}"), self._read(f"errors-{number}")
        try:
            answer = json.loads(output)
        except ValueError:
            answer = None
        return Ended(status, answer if isinstance(answer, dict) else None, output + errors)

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="utf-8", errors="replace")

    def _await(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {_SECONDS:g} s for {what}")
            time.sleep(0.002)


def _children(pid: int) -> list[int]:
    """The children of a process with one thread, in the order in which they were made."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def _state_of(pid: int) -> str:
    """The letter that /proc has for a process's state; Z when it has ended, reaped or not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
    return text.rpartition(")")[2].split()[0]
