# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module in a fork of this process: a real process of its own, which need not import everything again.

A tenth of the time of lab.ansible.Bare, with the same answers; each test file still has runs as Ansible makes them.
Only for a process with one thread.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ansible.module_utils import basic
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import COLLECTION, Result
from ansible_collections.sandboxed.containers.tests.lab.packages import tool

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # older than ansible-core 2.17

    def patch_module_args(args: dict[str, Any]) -> AbstractContextManager[None]:
        """Make these the options of the next AnsibleModule."""
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
        return nullcontext()


_PROFILES = ("_module_legacy_c2m", "_module_legacy_m2c")


def prepare(*modules: str) -> None:
    """Import modules once for all forks, with what they import only when they need it."""
    package = f"ansible_collections.{COLLECTION}.plugins"
    for name in modules:
        importlib.import_module(f"{package}.modules.{name}")
    utils = Path(__file__).resolve().parents[2] / "plugins/module_utils"
    for path in utils.rglob("*.py"):
        words = [word for word in path.relative_to(utils).with_suffix("").parts if word != "__init__"]
        importlib.import_module(".".join([f"{package}.module_utils", *words]))
    for name in _PROFILES:
        with suppress(ImportError):  # older than ansible-core 2.19
            importlib.import_module(f"ansible.module_utils._internal._json._profiles.{name}")


class Forked:
    """A module at work. The interface is that of Bare."""

    def __init__(self, module: str, options: dict[str, Any], stopped: bool = False) -> None:
        """stopped: it stops itself by SIGSTOP before it begins."""
        name = f"ansible_collections.{COLLECTION}.plugins.modules.{module}"
        importlib.import_module(name)
        sys.stdout.flush()
        sys.stderr.flush()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed by result()
        self.pid = os.fork()
        if self.pid == 0:
            _be(name, options, self._output.fileno(), stopped)
        self._pidfd = os.pidfd_open(self.pid)

    def result(self, timeout: float = 180.0) -> Result:
        """Wait and read the answer. Raises RuntimeError for a traceback, and for one that hangs or is killed."""
        result = self.ended(timeout)
        if result is None:
            raise RuntimeError("the module was killed")
        return result

    def ended(self, timeout: float = 60.0) -> Result | None:
        """As result(), but None for one that was killed by somebody else."""
        ended = bool(select.select([self._pidfd], [], [], timeout)[0])
        if not ended:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        _pid, status = os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        with self._output as output:
            output.seek(0)
            said = output.read().decode(errors="replace")
        if ended and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        try:
            answer: dict[str, Any] = json.loads(said.splitlines()[-1])
        except (IndexError, ValueError) as exc:
            why = f"with status {status}" if ended else f"not within {timeout:g} s"
            raise RuntimeError(f"the module ended {why}: {said}") from exc
        return Result(bool(answer.get("failed")), answer)


def forked(module: str, /, **options: Any) -> Result:
    """Run a module in a fork to its end."""
    return Forked(module, options).result()


def killed_at(module: str, options: dict[str, Any], call: str, number: int) -> Result | None:
    """Run a module with SIGKILL just before the how-manieth system call of a name; None if that came to pass.

    Raises Unavailable where there is no strace.
    """
    return _traced(Forked(module, options, stopped=True), [call], "-e", f"inject={call}:signal=SIGKILL:when={number}")[
        0
    ]


def counted(module: str, options: dict[str, Any], calls: Sequence[str]) -> Counter[str]:
    """How many system calls of these names a module makes, those of its children left out. Raises Unavailable."""
    lines = traced(module, options, calls)
    return Counter(line.partition("(")[0] for line in lines if line.partition("(")[0] in calls)


def traced(module: str, options: dict[str, Any], calls: Sequence[str]) -> list[str]:
    """These system calls of a module, as strace shows them, those of its children left out. Raises Unavailable."""
    result, lines = _traced(Forked(module, options, stopped=True), calls)
    if result is None or result.failed:
        raise RuntimeError(f"the module failed: {result}")
    return lines


def _traced(one: Forked, calls: Sequence[str], *inject: str) -> tuple[Result | None, list[str]]:
    """Let a stopped module go on under strace; how it ended, and the trace."""
    with tempfile.NamedTemporaryFile("r") as trace, tempfile.TemporaryFile() as said:
        words = ["-qq", "-o", trace.name, "-e", "signal=none", "-e", f"trace={','.join(calls)}", "-p", str(one.pid)]
        try:
            processes.wait_until(lambda: processes.state(one.pid) == "T", "the module to stop")
            with subprocess.Popen([*tool("strace", "strace", "libunwind8"), *words, *inject], stderr=said) as strace:
                processes.wait_until(lambda: processes.tracer(one.pid) > 0, "strace to attach")
                os.kill(one.pid, signal.SIGCONT)
                strace.wait(60)
        except BaseException:
            os.kill(one.pid, signal.SIGKILL)  # not reaped yet
            os.waitpid(one.pid, 0)
            raise
        return one.ended(), trace.read().splitlines()


def _be(name: str, options: dict[str, Any], output: int, stopped: bool) -> None:
    """In the child: be the module, with a standard output of its own. Never returns."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for number, one in enumerate((null, output, output)):
            os.dup2(one, number)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.chdir("/")
        if stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
        with patch_module_args(json.loads(json.dumps(options))):
            sys.modules[name].main()  # every module of the collection has it
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
