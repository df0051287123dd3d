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
import runpy
import select
import signal
import sys
import tempfile
import traceback
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ansible.module_utils import basic
from ansible_collections.sandboxed.containers.tests.lab.ansible import COLLECTION, Result

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # older than ansible-core 2.17

    def patch_module_args(args: dict[str, Any]) -> AbstractContextManager[None]:
        """Make these the options of the next AnsibleModule."""
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
        return nullcontext()


class Forked:
    """A module at work. The interface is that of Bare."""

    def __init__(self, module: str, options: dict[str, Any]) -> None:
        name = f"ansible_collections.{COLLECTION}.plugins.modules.{module}"
        importlib.import_module(name)  # once, for all forks
        sys.stdout.flush()
        sys.stderr.flush()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed by result()
        self.pid = os.fork()
        if self.pid == 0:
            _be(name, options, self._output.fileno())
        self._pidfd = os.pidfd_open(self.pid)

    def result(self, timeout: float = 180.0) -> Result:
        """Wait and read the answer. Raises RuntimeError for a traceback, and for one that hangs or is killed."""
        ended = bool(select.select([self._pidfd], [], [], timeout)[0])
        if not ended:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        _pid, status = os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        with self._output as output:
            output.seek(0)
            said = output.read().decode(errors="replace")
        try:
            answer: dict[str, Any] = json.loads(said.splitlines()[-1])
        except (IndexError, ValueError) as exc:
            why = f"with status {status}" if ended else f"not within {timeout:g} s"
            raise RuntimeError(f"the module ended {why}: {said}") from exc
        return Result(bool(answer.get("failed")), answer)


def forked(module: str, /, **options: Any) -> Result:
    """Run a module in a fork to its end."""
    return Forked(module, options).result()


def _be(name: str, options: dict[str, Any], output: int) -> None:
    """In the child: be the module, with a standard output of its own. Never returns."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for number, one in enumerate((null, output, output)):
            os.dup2(one, number)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.chdir("/")
        sys.modules.pop(name)  # it is run anew; what it imports stays imported
        with patch_module_args(json.loads(json.dumps(options))):
            runpy.run_module(name, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
