# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbered sentences on a terminal, or in a file: colour only where a terminal shows it and nobody minds."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

GREEN, RED, YELLOW, BOLD = "32", "31", "33", "1"
OUTCOME_COLUMN = 55
NARROWEST, WIDEST = 80, 120


class Screen:
    """Prints one step at a time, what was run on the left and what came of it on the right."""

    def __init__(self) -> None:
        self.number = 0
        self.colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.width = min(max(shutil.get_terminal_size((WIDEST, 24)).columns, NARROWEST), WIDEST)

    @contextmanager
    def step(self, sentence: str) -> Iterator[None]:
        """Announce a step before it runs; came_of_it() or failed() ends its line."""
        self.number += 1
        print(f"{self.number:>2}  {sentence:<{OUTCOME_COLUMN - 4}}", end="", flush=True)
        yield

    def came_of_it(self, outcome: str, quote: str = "") -> None:
        """What came of the step, on its own line; `quote` is what the user would read."""
        self._outcome(GREEN, outcome)
        if quote:
            self._paragraph(f'"{quote}"')

    def failed(self, outcome: str) -> None:
        """The step came out wrong."""
        self._outcome(RED, f"FAILED: {outcome}")

    def cannot(self, sentence: str, why: str) -> None:
        """A step that cannot run here, and what would make it run."""
        self.number += 1
        print(f"{self.number:>2}  {sentence:<{OUTCOME_COLUMN - 4}}", end="")
        self._outcome(YELLOW, f"skipped: {why}")

    def part(self, sentence: str) -> None:
        """What the following steps are about."""
        if self.number:
            print()
        print("\n".join(self._paint(BOLD, line) for line in textwrap.wrap(sentence, self.width)), flush=True)

    def say(self, sentence: str) -> None:
        """A sentence that is no step."""
        print(textwrap.fill(sentence, self.width), flush=True)

    def command(self, line: str) -> None:
        """A line to type."""
        print("    " + self._paint(BOLD, line), flush=True)

    def lines(self, lines: Sequence[str]) -> None:
        """A list that belongs to the step above."""
        for line in lines:
            print(f"      {line}", flush=True)

    def _outcome(self, colour: str, text: str) -> None:
        lines = textwrap.wrap(text, self.width - OUTCOME_COLUMN, break_long_words=False, break_on_hyphens=False)
        indent = "\n" + " " * OUTCOME_COLUMN
        print(indent.join(self._paint(colour, line) for line in lines), flush=True)

    def _paragraph(self, text: str) -> None:
        lines = textwrap.wrap(text, self.width - 6, break_long_words=False, break_on_hyphens=False)
        print("\n".join("      " + line for line in lines), flush=True)

    def _paint(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self.colours else text
