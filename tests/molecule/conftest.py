# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""molecule as a user runs it, and the host that its scenarios share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.lab import booted, kept

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 900.0  # seconds; a scenario takes less than one minute where nothing else is at work


def molecule(*words: str, folder: Path = ROOT, **settings: str) -> tuple[int, str]:
    """Run it to its end; its exit code and output, without colours."""
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("molecule")), *words],
        cwd=folder, env={**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", **settings},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _nothing = process.communicate(timeout=LONGEST)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still that of its group
            process.wait()
    return process.returncode, output


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Runs kept.py as the playbooks do, for tmp_path, and tells what it prints; it is stopped afterwards."""
    why = booted.available()
    if why:
        pytest.skip(why)

    def run(verb: str) -> str:
        words = [sys.executable, "-m", kept.MODULE, verb, str(tmp_path)]
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=LONGEST).stdout

    yield run
    run("stop")
