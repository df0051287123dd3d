# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report in words: the table that is printed and shown in docs/bench.md."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.sandboxed.containers.tests.bench.figures import Figure, Report, Shipped

BAR = 10  # characters of a bar that uses all that its goal allows
LONGEST_BAR = 14
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_MB = 1_000_000


def seconds(value: float) -> str:
    """Three digits, where there are as many."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} s"


def ratio(value: float) -> str:
    """As precise as the goals are: 1.62, 12.3, 108."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def goal(value: float) -> str:
    """With one digit after the point at least, where it is small: 2.0, 1.35, 100."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if round(value, 1) == value else f"{value:g}"


def bar_of(share: float) -> str:
    """A bar in eighths of a character; ten are all that the goal allows, an arrow shows that it went on."""
    eighths = round(share * BAR * 8)
    if eighths > LONGEST_BAR * 8:
        return "█" * LONGEST_BAR + "▶"
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def comparison(figure: Figure) -> str:
    """The ratio with its peer: "1.62 × rm -rf", "108 × faster than looped file"."""
    return f"{ratio(figure.ratio)} × {'faster than ' if figure.faster else ''}{figure.peer.name}"


def goals(figure: Figure) -> str:
    """The goals of a row and whether they are met: "(goal 2.0)", "(goal 2.0: missed)"; empty where it has none."""
    texts = []
    if figure.goal is not None:
        texts.append(f"goal {goal(figure.goal)}")
    if figure.peak_goal is not None:
        texts.append(f"{figure.ours.peak / _MB:.0f} of {figure.peak_goal / _MB:.0f} MB")
    if figure.peak_ratio is not None:
        texts.append(f"memory {ratio(figure.ours.peak / figure.peer.peak)} of {goal(figure.peak_ratio)}")
    if figure.printed_goal is not None:
        texts.append(f"result {figure.ours.printed / 1024:.0f} of {figure.printed_goal / 1024:.0f} KiB")
    if not texts:
        return ""
    return f"({', '.join(texts)}{'' if figure.met else ': missed'})"


def table(report: Report) -> str:
    """The whole report; no line ends in blanks."""
    machine = [f"{name:<13} {value}" for name, value in report.machine.items()]
    blocks = [machine, _figures(report.figures), _shipped(report.shipped)]
    lines = "\n\n".join("\n".join(block) for block in blocks if block).split("\n")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _figures(figures: tuple[Figure, ...]) -> list[str]:
    cells = [
        (
            f"{one.what} ({one.how_much})",
            seconds(one.ours.seconds),
            comparison(one),
            seconds(one.peer.seconds),
            goals(one),
            "" if one.share is None else bar_of(one.share),
        )
        for one in figures
    ]
    return aligned(cells, right=(1, 3))


def _shipped(shipped: tuple[Shipped, ...]) -> list[str]:
    if not shipped:
        return []
    head = ("sent to a host for each task", "KiB", "of them ours: files", "lines", "KiB")
    cells = [
        (one.module, f"{one.payload / 1024:.0f}", str(one.files), f"{one.lines:,}", f"{one.bytes / 1024:.0f}")
        for one in shipped
    ]
    return aligned([head, *cells], right=(1, 2, 3, 4))


def aligned(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    """Columns with three blanks between them, those in `right` aligned to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    return [
        "   ".join(
            f"{cell:>{width}}" if number in right else f"{cell:<{width}}"
            for number, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
