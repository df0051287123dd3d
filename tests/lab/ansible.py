# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the collection's modules the two ways that tests and the demo need: by `ansible`, and as a bare process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

COLLECTION = "sandboxed.containers"
_BARE = """
import json, runpy, sys
from ansible.module_utils import basic
name, arguments = sys.argv[1], json.loads(sys.stdin.read())
try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    runpy.run_module(name, run_name="__main__")
else:
    with patch_module_args(arguments):
        runpy.run_module(name, run_name="__main__")
"""


class Result(NamedTuple):
    """What a module answered. failed: whether the task failed. shown: what `ansible` printed before it, the diff."""

    failed: bool
    answer: dict[str, Any]
    shown: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.answer.get("changed"))

    @property
    def unchanged(self) -> bool:
        """Whether it was content with what is there: a failure changes nothing either, and is none of that."""
        return not self.failed and not self.changed

    @property
    def message(self) -> str:
        return str(self.answer.get("msg", ""))

    @property
    def sandboxes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.answer.get("sandboxes", [])
        return found


def adhoc(module: str, options: dict[str, Any], *flags: str, prefix: Sequence[str] = ()) -> Result:
    """Run `ansible localhost -m MODULE` as a user does, from the tree that in_tree.py made. prefix: a command that runs
    another one."""
    done = subprocess.run(
        [*prefix, str(Path(sys.executable).with_name("ansible")), *adhoc_words(module, options), *flags],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "minimal"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    # localhost | SUCCESS => {…}; with --diff other lines stand before it
    for word, failed in (("SUCCESS", False), ("CHANGED", False), ("FAILED!", True)):
        before, found, rest = done.stdout.partition(f"localhost | {word} => ")
        if found:
            return Result(failed, json.loads(rest), before)
    raise RuntimeError(f"ansible ended with {done.returncode}: {done.stdout}{done.stderr}")


def adhoc_words(module: str, options: dict[str, Any]) -> list[str]:
    """The arguments of `ansible` for a module."""
    return ["localhost", "-m", f"{COLLECTION}.{module}", "-a", json.dumps(options)]


class Bare:
    """A module as a process of its own, without AnsiballZ: a tenth of the time, and many can race."""

    def __init__(self, module: str, options: dict[str, Any]) -> None:
        self.popen = subprocess.Popen(
            words_of(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.popen.pid
        assert self.popen.stdin is not None  # asked for above
        self.popen.stdin.write(json.dumps(options))
        self.popen.stdin.close()
        self.popen.stdin = None

    def result(self, timeout: float = 180.0) -> Result:
        """Wait and read the answer. Raises RuntimeError for a traceback."""
        output, errors = self.popen.communicate(timeout=timeout)
        return result_of(output, f"{self.popen.returncode}: {errors}")


def words_of(module: str) -> list[str]:
    """The command that is a module, which reads its options from standard input."""
    return [sys.executable, "-c", _BARE, f"ansible_collections.{COLLECTION}.plugins.modules.{module}"]


def result_of(printed: str, ended: object) -> Result:
    """What a module printed last. Raises RuntimeError for a traceback."""
    try:
        answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    except (IndexError, ValueError) as exc:
        raise RuntimeError(f"the module ended with {ended}: {printed}") from exc
    return Result(bool(answer.get("failed")), answer)


def bare(module: str, /, **options: Any) -> Result:
    """Run a module as a bare process to its end."""
    return Bare(module, options).result()
