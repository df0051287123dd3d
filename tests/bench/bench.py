# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole run: which rows, where, and what becomes of the report."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from types import FrameType
from typing import NoReturn

import yaml
from ansible_collections.sandboxed.containers.tests.bench import machine, publish
from ansible_collections.sandboxed.containers.tests.bench.figures import Report, Shipped
from ansible_collections.sandboxed.containers.tests.bench.measure import Workshop, measure
from ansible_collections.sandboxed.containers.tests.bench.payload import PING, BenchFailure, Payloads, shipped
from ansible_collections.sandboxed.containers.tests.bench.rows import ROWS, Row
from ansible_collections.sandboxed.containers.tests.bench.table import table

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
MEMORY = "/dev/shm"  # a tmpfs as /run is, on each Linux, for everybody; nothing has to be mounted
BYTES_AN_ENTRY = 12 * 1024  # a page of content, and what the kernel keeps of a file or directory


class Progress:
    """Tells on standard error what runs; on a terminal, in one line."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """What runs now."""
        line = f"{time.monotonic() - self._started:5.0f} s  {text}"
        print(f"\r\033[K{line}" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def done(self) -> None:
        """Leave the terminal's line as it was."""
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run the bench; 1 if a call failed, 0 otherwise: whether the goals are met is for the reader."""
    given = _parse(arguments)
    rows = [row for row in ROWS if not given.rows or any(fnmatch(row.key, f"*{one}*") for one in given.rows)]
    if not rows:
        print(f"no such row: {', '.join(given.rows)}; there are {', '.join(row.key for row in ROWS)}", file=sys.stderr)
        return 2
    rows = _possible(rows)
    progress = Progress()
    if os.getloadavg()[0] > machine.BUSY:
        print("Other programs are busy here, or were a minute ago: the figures will be off.", file=sys.stderr)
    try:
        with _workshop(given.folder, progress) as workshop:
            report = _run([row.quick() for row in rows] if given.quick else rows, workshop, whole=not given.rows)
    except BenchFailure as exc:
        progress.done()
        print(f"the bench stopped: {exc}", file=sys.stderr)
        return 1
    progress.done()
    print(table(report), end="")
    if given.publish:
        for path in publish.write(report, given.publish):
            print(f"wrote {path}")
    return 0


def _possible(rows: list[Row]) -> list[Row]:
    """Without those that cannot be run here, which are named."""
    lacks = {row.key: row.lacks() for row in rows}
    for key, why in lacks.items():
        if why:
            print(f"skipped: {key}: {why}", file=sys.stderr)
    return [row for row in rows if not lacks[row.key]]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Time the collection against its peers.")
    parser.add_argument("rows", nargs="*", help="parts of the names of rows; all rows when there is none")
    parser.add_argument("--quick", action="store_true", help="small counts, one run: only to see that it works")
    parser.add_argument("--publish", type=Path, metavar="DIR", help="write the results there (a whole run: docs)")
    parser.add_argument("--folder", type=Path, default=MEMORY, help=f"where the trees are made ({MEMORY})")
    given = parser.parse_args(arguments)
    if given.publish is None and not given.rows and not given.quick:
        given.publish = Path(os.environ.get("BENCH_DOCS", ROOT / "docs"))
    return given


def _run(rows: list[Row], workshop: Workshop, whole: bool) -> Report:
    _refuse_little_room(rows, workshop.folder)
    described = machine.describe(workshop.folder)
    figures = tuple(measure(row, workshop) for row in rows)
    sizes: list[Shipped] = []
    for module in [*MODULES, PING] if whole else []:
        workshop.say(f"what is sent for {module}")
        sizes.append(shipped(module, workshop.folder / f"shipped-{module}"))
    when = time.strftime("%Y-%m-%d", time.gmtime())
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    return Report(when, version, described, figures, tuple(sizes))


def _refuse_little_room(rows: list[Row], folder: Path) -> None:
    entries = max((sum(row.kind.numbers(row.sandboxes).values()) for row in rows), default=0)
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < entries * BYTES_AN_ENTRY or (room.f_files > 0 and room.f_favail < entries):
        raise BenchFailure(
            f"{entries:,} files and directories do not fit into {folder.parent}. Give a larger tmpfs as --folder."
        )


@contextmanager
def _workshop(parent: Path, progress: Progress) -> Iterator[Workshop]:
    """A folder of this run's own; it is removed at the end, also when the run is told to end before."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        folder = tempfile.TemporaryDirectory(prefix="sandboxed-bench-", dir=parent)
    except OSError as exc:
        raise BenchFailure(f"nothing can be made in {parent} ({exc.strerror}). Give a tmpfs as --folder.") from exc
    try:
        with folder as name:
            yield Workshop(Path(name), Payloads(Path(name)), progress.say)
    except KeyboardInterrupt:
        raise BenchFailure("interrupted") from None


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)
