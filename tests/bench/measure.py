# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the rows: both sides in turn, so that a drift of the machine hits both, each run on trees made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Callable, NamedTuple

from ansible_collections.sandboxed.containers.tests.bench.contenders import Contender
from ansible_collections.sandboxed.containers.tests.bench.figures import Figure, Sample, Side
from ansible_collections.sandboxed.containers.tests.bench.payload import BenchFailure, Payloads
from ansible_collections.sandboxed.containers.tests.bench.rows import Row
from ansible_collections.sandboxed.containers.tests.bench.trees import Site, clear, lay_out

LAUNCH = Path(__file__).with_name("launch.py")
# What the tools of a checkout set and a host has not: it would be searched at each import.
_NOT_ON_A_HOST = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


class Workshop(NamedTuple):
    """folder: where the trees are made. payloads: made outside of what is timed. say: is told each run."""

    folder: Path
    payloads: Payloads
    say: Callable[[str], None]


def measure(row: Row, workshop: Workshop) -> Figure:
    """All runs of a row. Raises BenchFailure where a side does not do its work."""
    what = row.what.format(count=f"{row.sandboxes * row.kind.objects:,}")
    counts = (row.sandboxes, row.peer_count or row.sandboxes)
    sides = list(zip((row.ours, row.peer), counts, (list[Sample](), list[Sample]())))
    lasting = not (row.ours.changes or row.peer.changes)
    with _site(row, row.sandboxes, workshop) if lasting else nullcontext() as kept:
        for number in range(row.runs):
            for contender, count, samples in sides:
                workshop.say(f"{what}: run {number + 1} of {row.runs}, {contender.name}")
                with nullcontext(kept) if kept else _site(row, count, workshop) as site:
                    samples.append(_one_run(contender, site, workshop))
    return Figure(
        row.key,
        what,
        row.how_much.format(tree=row.kind.in_words(row.sandboxes)),
        Side(row.ours.name, tuple(sides[0][2])),
        Side(row.peer.name, tuple(sides[1][2]), row.sandboxes / counts[1]),
        row.faster,
        row.goal,
        row.peak_goal,
        row.peak_ratio,
        row.printed_goal,
    )


@contextmanager
def _site(row: Row, count: int, workshop: Workshop) -> Iterator[Site]:
    folder = workshop.folder / "site"
    try:
        yield lay_out(folder, row.kind, count)
    finally:
        clear(folder)


def _one_run(contender: Contender, site: Site, workshop: Workshop) -> Sample:
    command = contender.command(site, workshop.payloads)
    try:
        sample, output = timed(command.words, workshop.folder)
    finally:
        command.end()
    try:
        command.check(output)
    except BenchFailure as exc:
        raise BenchFailure(f"{contender.name} did not do its work: {exc}") from exc
    return sample


def timed(words: list[str], folder: Path) -> tuple[Sample, str]:
    """Run a process to its end, its output in files below a folder; what it took, and what it printed.

    Raises BenchFailure where it ends with another status than 0.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_ON_A_HOST}
    output, errors = folder / "stdout", folder / "stderr"
    launched = [sys.executable, "-E", "-S", str(LAUNCH), str(output), str(errors), *words]
    done = subprocess.run(launched, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    took = json.loads(done.stdout)
    text = output.read_text(encoding="utf-8", errors="replace")
    if took["status"]:
        reason = (text + errors.read_text(encoding="utf-8", errors="replace")).strip()
        raise BenchFailure(f"{' '.join(words)} ended with {took['status']}: {reason[:4000]}")
    return Sample(took["seconds"], took["cpu"], took["peak"], output.stat().st_size), text
