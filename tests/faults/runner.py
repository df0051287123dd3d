# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run modules in forks of one process that has imported everything: ``python runner.py NAME...`` warms these modules up.

Each line of standard input is a JSON object: ``script`` (a file, run as a program), ``options``, ``output`` and
``errors`` (files), ``stopped`` (the fork stops itself by SIGSTOP before it begins, so that it can be traced).
The answers are two lines: the fork's pid, and later its wait status. The end of standard input ends it.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ansible.module_utils import basic


def arguments(options: dict[str, Any]) -> AbstractContextManager[None]:
    """Make these the options of the next AnsibleModule."""
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:  # older than ansible-core 2.17
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
        return nullcontext()
    patched: AbstractContextManager[None] = patch_module_args(options)
    return patched


def child(request: dict[str, Any]) -> None:
    """Be the module. Never returns."""
    for path, descriptor in ((os.devnull, 0), (request["output"], 1), (request["errors"], 2)):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    if request["stopped"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    with arguments(request["options"]):
        runpy.run_path(request["script"], run_name="__main__")


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
            sys.exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
