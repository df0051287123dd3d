# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a task in a fresh process, alone or under strace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.faults import tracing
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT
from ansible_collections.sandboxed.containers.tests.faults.tracing import Call, Point

_HERE = Path(__file__).resolve().parent
_PLUGINS = _HERE.parents[1] / "plugins"
_MODULES = _PLUGINS / "modules"
_PACKAGE = "ansible_collections.sandboxed.containers.plugins"
_LAYOUTS = sorted(path.stem for path in (_PLUGINS / "module_utils" / "_layout").glob("[a-z]*.py"))
_SECONDS = 60.0  # more than any run takes; one that takes longer hangs
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

    def __init__(self, folder: Path, modules: set[str]) -> None:
        self.root = folder / "case"
        self._folder = folder
        folder.mkdir(parents=True)
        names = [f"{_PACKAGE}.modules.{name}" for name in sorted(modules) if "/" not in name]
        # A module imports its layout only when it runs: here once, and not in each fork.
        names += [f"{_PACKAGE}.module_utils._layout.{name}" for name in _LAYOUTS]
        self._popen = subprocess.Popen(
            [*_HOST, sys.executable, str(_HERE / "runner.py"), *names],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self._popen.kill()
        self._popen.communicate(timeout=_SECONDS)

    def run(self, task: Task) -> Ended:
        """Run a task to its end."""
        self._start(task, stopped=False)
        return self._end()

    def trace(self, task: Task, paths: list[Path], point: Point | None = None) -> tuple[Ended, list[Call]]:
        """Run a task under strace, with a fault at one call. Also returns the calls that were made on these paths."""
        trace = self._folder / "trace"
        pid = self._start(task, stopped=True)
        with open(self._folder / "strace", "w+", encoding="utf-8") as said:
            strace = subprocess.Popen(tracing.words(pid, trace, paths, point), stdin=subprocess.DEVNULL, stderr=said)
            try:
                self._await(lambda: "attached" in self._read("strace"), f"strace to attach: {self._read('strace')}")
                os.kill(pid, signal.SIGCONT)
                strace.wait(_SECONDS)
            finally:
                if strace.poll() is None:
                    os.kill(pid, signal.SIGKILL)  # not yet reaped by the runner, so it is still this process
                    strace.kill()
                    strace.wait()
        return self._end(), tracing.calls(trace, self.root)

    def _start(self, task: Task, stopped: bool) -> int:
        options = json.loads(json.dumps(task.options).replace(ROOT, str(self.root)))
        request = {
            "script": str(task.script),
            "options": options,
            "output": str(self._folder / "output"),
            "errors": str(self._folder / "errors"),
            "stopped": stopped,
        }
        assert self._popen.stdin is not None  # asked for above
        self._popen.stdin.write(json.dumps(request) + "\n")
        self._popen.stdin.flush()
        self._line()
        pid = _only_child(_only_child(self._popen.pid)) if stopped else 0
        if stopped:
            self._await(lambda: _state_of(pid) == "T", f"process {pid} to stop")
        return pid

    def _line(self) -> int:
        assert self._popen.stdout is not None  # asked for above
        return int(self._popen.stdout.readline())

    def _end(self) -> Ended:
        status = self._line()
        output, errors = self._read("output"), self._read("errors")
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


def _only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
