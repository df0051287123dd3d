# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bench runs: small counts, into a temporary folder. How long anything takes is no test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.bench.bench import MODULES
from ansible_collections.sandboxed.containers.tests.bench.figures import from_json
from ansible_collections.sandboxed.containers.tests.bench.publish import BEGIN, END
from ansible_collections.sandboxed.containers.tests.bench.rows import ROWS

RUN = Path(__file__).with_name("run")

pytestmark = pytest.mark.long


def begin(*arguments: str) -> subprocess.Popen[str]:
    """Start the bench as `make bench` does. It hears Ctrl-C also where these tests run in the background of a shell."""
    command = ["env", "--default-signal=INT", sys.executable, str(RUN), "--quick", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_every_row_comes_out_and_is_published(tmp_path: Path) -> None:
    """All rows, in the table, in the JSON with its schema, and in the page."""
    (tmp_path / "bench.md").write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    process = begin("--publish", str(tmp_path))
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    report = from_json(json.loads((tmp_path / "bench" / "results.json").read_text(encoding="utf-8")))
    keys = [row.key for row in ROWS if not row.lacks()]
    assert [figure.key for figure in report.figures] == keys
    assert [one.module for one in report.shipped] == [*MODULES, "ansible.builtin.ping"]
    assert all(one.files for one in report.shipped[:-1]) and not report.shipped[-1].files
    page = (tmp_path / "bench.md").read_text(encoding="utf-8")
    for figure in report.figures:
        assert figure.what in output and figure.what in page
        assert min(figure.ours.seconds, figure.peer.seconds, figure.ours.peak, figure.peer.peak) > 0
    assert (tmp_path / "bench" / "results.svg").read_text(encoding="utf-8").count('class="peer"') == len(keys) + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bench_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Its trees and its processes are gone; the exit status says that it did not end well."""
    process = begin("--folder", str(tmp_path), "gvisor-remove")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/site")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _output, errors = process.communicate(timeout=60)
    assert (process.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "interrupted" in errors


@pytest.mark.parametrize(("folder", "message"), [("/proc", "nothing can be made in /proc"), ("/nowhere", "/nowhere")])
def test_a_bench_that_cannot_run_says_why(folder: str, message: str) -> None:
    """One sentence and the way out instead of a traceback."""
    process = begin("--folder", folder, "gvisor-remove")
    _output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message in errors and "--folder" in errors and "Traceback" not in errors
