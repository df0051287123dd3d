# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run modules in forks of one process that has imported everything. ``python runner.py NAME...`` imports these.

Each line of standard input is a JSON list of tasks that are started together. A task is an object: ``script`` (a file,
run as a program), ``options``, ``output`` and ``errors`` (files), ``chance`` (0; or the fork stops itself by SIGSTOP
before it begins, so that it can be traced, and what is random in a hidden name is counted from this number on).
The answers are a line when all have started, and then a line for each with its wait status. The end of standard input
ends it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any
from unittest import mock

from ansible.module_utils import basic

_SECONDS = 120

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # older than ansible-core 2.17

    def patch_module_args(args: dict[str, Any]) -> AbstractContextManager[None]:
        """Make these the options of the next AnsibleModule."""
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
        return nullcontext()


def _counting(first: int) -> Callable[[int], bytes]:
    """In the place of os.urandom: strace counts the calls on paths that it is told before the run."""
    numbers = count(first)
    return lambda size: next(numbers).to_bytes(size, "big")


def child(request: dict[str, Any]) -> int:
    """Be the module; the exit status."""
    for path, descriptor in ((os.devnull, 0), (request["output"], 1), (request["errors"], 2)):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    signal.alarm(_SECONDS)  # ends one that hangs
    chance = request["chance"]
    if chance:
        os.kill(os.getpid(), signal.SIGSTOP)
    counted = mock.patch.object(os, "urandom", _counting(chance)) if chance else nullcontext()
    try:
        with patch_module_args(request["options"]), counted:
            runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def start(request: dict[str, Any]) -> int:
    """Fork a task; its pid."""
    pid = os.fork()
    if pid == 0:
        status = child(request)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # without the interpreter's end, which takes longer than the module
    return pid


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    # This host's own, in a mount namespace of our own: the locks of these runs are nobody else's (safety.md C2).
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/lock"], check=True)
    gc.freeze()
    for line in sys.stdin:
        pids = [start(request) for request in json.loads(line)]
        print(len(pids), flush=True)
        for pid in pids:
            print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
