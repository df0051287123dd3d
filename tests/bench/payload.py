# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that Ansible sends to a host for a task (AnsiballZ): made by Ansible itself, once, outside of what is timed.

`ansible` is run with ANSIBLE_KEEP_REMOTE_FILES and a remote folder of the bench's own, and leaves the file there with
its arguments in it. It is made for one sandbox that is nowhere, which changes nothing; then the real ids are put in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, NamedTuple

from ansible_collections.sandboxed.containers.tests.bench.figures import Shipped

COLLECTION = "sandboxed.containers"
PING = "ansible.builtin.ping"
NOWHERE = "bench-nowhere"  # stands for the ids until they are put in


class BenchFailure(Exception):
    """The bench cannot go on; the text says which call failed and what it answered."""


class Many(NamedTuple):
    """The option that takes many things, and what it takes for the name of each."""

    option: str
    element: Callable[[str], Any]


SANDBOXES = Many("sandbox_id", str)


class Payloads:
    """Makes the files below a folder; the same module with the same options is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def file(self, module: str, options: dict[str, Any], ids: list[str] | None = None, many: Many = SANDBOXES) -> Path:
        """The file for a task. ids: for its option that takes many. Raises BenchFailure."""
        asked = {**options, many.option: [many.element(NOWHERE)]} if ids is not None else options
        path = self._make(module, asked)
        if ids is None:
            return path
        text = path.read_text(encoding="utf-8")
        mark = json.dumps(many.element(NOWHERE))
        if text.count(mark) != 1:
            raise BenchFailure(f"{module}: its file names {NOWHERE} {text.count(mark)} times: where do the ids go?")
        filled = path.with_name(f"filled-{path.name}")
        filled.write_text(
            text.replace(mark, ", ".join(json.dumps(many.element(name)) for name in ids)), encoding="utf-8"
        )
        return filled

    def _make(self, module: str, options: dict[str, Any]) -> Path:
        key = json.dumps([module, options])
        if key not in self._made:
            self._made[key] = make(module, options, self._folder / f"payload-{len(self._made)}")
        return self._made[key]


def make(module: str, options: dict[str, Any], folder: Path, refusal_is_fine: bool = False) -> Path:
    """Let Ansible make the file in check mode. refusal_is_fine: only its size is wanted. Raises BenchFailure."""
    name = module if "." in module else f"{COLLECTION}.{module}"
    words = [str(Path(sys.executable).with_name("ansible")), "localhost", "--check", "-m", name]
    if options:
        words += ["-a", json.dumps(options)]
    known = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TMP": str(folder), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        words, env={**os.environ, **known}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    found = list(folder.glob("*/AnsiballZ_*.py"))
    if len(found) != 1 or (done.returncode and not refusal_is_fine):
        raise BenchFailure(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    text = found[0].read_text(encoding="utf-8")
    found[0].write_text(text.replace('"_ansible_check_mode": true', '"_ansible_check_mode": false'), encoding="utf-8")
    return found[0]


def shipped(module: str, folder: Path) -> Shipped:
    """What Ansible sends for a module of this collection, or for another's: whole names have dots."""
    path = make(module, {}, folder, refusal_is_fine=True)
    # The file's own way to show what is in it, for debugging on the host.
    done = subprocess.run([sys.executable, str(path), "explode"], capture_output=True, text=True, check=False)
    ours = path.parent / "debug_dir" / "ansible_collections" / "sandboxed"
    if done.returncode or not (path.parent / "debug_dir").is_dir():
        raise BenchFailure(f"{path.name} explode ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    contents = [file.read_bytes() for file in sorted(ours.rglob("*.py"))]
    size = path.stat().st_size
    shutil.rmtree(path.parent)
    full = [content for content in contents if content]
    return Shipped(module, size, len(full), sum(map(len, full)), sum(content.count(b"\n") for content in full))
