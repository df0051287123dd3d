# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the bench finds, as plain values: no clock, no file, no process here."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

SCHEMA = 2


class Sample(NamedTuple):
    """One run of one process. seconds: from its start to its end. cpu: seconds of all cores. peak: bytes in memory.
    printed: bytes of its standard output, which for a module is its result."""

    seconds: float
    cpu: float
    peak: int
    printed: int = 0


class Side(NamedTuple):
    """All runs of one contender in one row. scale: what its seconds count, where only a part of the work was timed."""

    name: str
    samples: tuple[Sample, ...]
    scale: float = 1.0

    @property
    def seconds(self) -> float:
        """The median, scaled to the whole work."""
        return statistics.median(sample.seconds for sample in self.samples) * self.scale

    @property
    def peak(self) -> int:
        """The most memory that any run had, in bytes."""
        return max(sample.peak for sample in self.samples)

    @property
    def printed(self) -> int:
        """The longest output of any run, in bytes."""
        return max(sample.printed for sample in self.samples)


class Figure(NamedTuple):
    """A measured row. faster: the ratio says how many times faster ours is; otherwise, how many times longer it takes.

    goal: the ratio to reach, None where a row is only reported. peak_goal: bytes that ours may have in memory.
    peak_ratio: how many times the peer's memory it may have. printed_goal: bytes that it may print.
    """

    key: str
    what: str
    how_much: str
    ours: Side
    peer: Side
    faster: bool = False
    goal: float | None = None
    peak_goal: int | None = None
    peak_ratio: float | None = None
    printed_goal: int | None = None

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self.peer.seconds / self.ours.seconds if self.faster else self.ours.seconds / self.peer.seconds

    @property
    def share(self) -> float | None:
        """How much of what the goal allows is used; 1 or less is met."""
        if self.goal is None:
            return None
        return self.goal / self.ratio if self.faster else self.ratio / self.goal

    @property
    def met(self) -> bool | None:
        """Whether all goals of the row are met; None where it has none."""
        time_met = None if self.share is None else self.share <= 1
        peak_met = None if self.peak_goal is None else self.ours.peak <= self.peak_goal
        ratio_met = None if self.peak_ratio is None else self.ours.peak <= self.peak_ratio * self.peer.peak
        printed_met = None if self.printed_goal is None else self.ours.printed <= self.printed_goal
        known = [one for one in (time_met, peak_met, ratio_met, printed_met) if one is not None]
        return all(known) if known else None


class Shipped(NamedTuple):
    """What Ansible sends to a host for one module. payload: bytes of the whole file; the others: this collection's."""

    module: str
    payload: int
    files: int
    bytes: int
    lines: int


class Report(NamedTuple):
    """One run of the bench. when: the day, UTC. machine: what it ran on, by name, in the order to be shown."""

    when: str
    collection: str
    machine: dict[str, str]
    figures: tuple[Figure, ...]
    shipped: tuple[Shipped, ...]


def to_json(report: Report) -> dict[str, Any]:
    """The report as it is published: what follows from the runs is there too, for readers without this code."""
    return {
        "schema": SCHEMA,
        "when": report.when,
        "collection": report.collection,
        "machine": report.machine,
        "rows": [_row(figure) for figure in report.figures],
        "shipped": [one._asdict() for one in report.shipped],
    }


def _row(figure: Figure) -> dict[str, Any]:
    return {
        "key": figure.key,
        "what": figure.what,
        "how_much": figure.how_much,
        "ours": _side(figure.ours),
        "peer": _side(figure.peer),
        "ratio": round(figure.ratio, 3),
        "ratio_means": "times faster than the peer" if figure.faster else "times as long as the peer",
        "goal": figure.goal,
        "peak_goal": figure.peak_goal,
        "peak_ratio": figure.peak_ratio,
        "printed_goal": figure.printed_goal,
        "met": figure.met,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "seconds": round(side.seconds, 4),
        "peak": side.peak,
        "printed": side.printed,
        "scale": side.scale,
        "runs": [sample._asdict() for sample in side.samples],
    }


def from_json(data: dict[str, Any]) -> Report:
    """The report that was published. Raises ValueError for another schema, KeyError where something is missing."""
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']}, not {SCHEMA}")
    figures = tuple(_figure(row) for row in data["rows"])
    shipped = tuple(Shipped(**one) for one in data["shipped"])
    return Report(data["when"], data["collection"], data["machine"], figures, shipped)


def _figure(row: dict[str, Any]) -> Figure:
    ours, peer = (
        Side(side["name"], tuple(Sample(**run) for run in side["runs"]), side["scale"])
        for side in (row["ours"], row["peer"])
    )
    faster = row["ratio_means"].startswith("times faster")
    how = (faster, row["goal"], row["peak_goal"], row["peak_ratio"], row["printed_goal"])
    return Figure(row["key"], row["what"], row["how_much"], ours, peer, *how)
