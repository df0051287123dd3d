# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left when a task is killed, or meets an error, at each of its system calls (promises 2 and 3).

A case is a task, the tree that it starts from, and a table of invariants. The task is run once undisturbed, to list
the system calls on that tree. Then, for each of them, it is run again from a fresh tree with one fault there: SIGKILL
before each call that can change something (before any other call the disk is as before the next one of these), the
errors that a call can meet, and permissions that are missing all the time. After each fault
 - the invariants hold: those of rules.py that every case has, and the case's own;
 - the reader, a task that changes nothing, does not fail on what was left;
 - the same task again ends as the undisturbed one did, and once more it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.faults import rules, snapshot
from ansible_collections.sandboxed.containers.tests.faults.rules import Invariant, Observed
from ansible_collections.sandboxed.containers.tests.faults.running import Task, Worker
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT
from ansible_collections.sandboxed.containers.tests.faults.tracing import KILL, Call, Point

_ATTEMPTS = 3


class Case(NamedTuple):
    """A task and where it starts. prepare: makes the tree in an empty directory, the same one each time.

    invariants: by name, each raises AssertionError when it does not hold. reader: a task that only looks.
    passing: what a file may hold for a moment beside its old and its new content, by path; a reason stands beside it.
    """

    name: str
    task: Task
    prepare: Callable[[Path], None]
    invariants: Mapping[str, Invariant] = MappingProxyType({})
    reader: Task | None = None
    passing: Mapping[str, bytes] = MappingProxyType({})


class Report(NamedTuple):
    """What came out. calls: of the undisturbed run. points: the faults that were really made, in the order in which
    they were chosen. problems: a text each."""

    calls: list[Call]
    points: list[Point]
    problems: list[str]


class Undisturbed(NamedTuple):
    """The run without a fault. paths: all that it touched below ROOT, "@ROOT@/…"."""

    calls: list[Call]
    paths: list[str]
    wanted: snapshot.Tree


def check_some(case: Case, workers: list[Worker], makes: set[str]) -> None:
    """A few faults of a case hold, each is made once, and kills meet each kind of change that it makes."""
    report = explore(case, workers, few_points)
    assert report.problems == []
    assert report.points == few_points(report.calls), "each of them was made once"
    assert {point.call.name for point in report.points if point.kills} == makes


def all_points(calls: list[Call]) -> list[Point]:
    """Every fault at every call."""
    kills = [Point(call, KILL) for call in calls if call.changes]
    once = [Point(call, error) for call in calls for error in call.errors]
    return kills + once + lasting_points(calls)


def lasting_points(calls: list[Call]) -> list[Point]:
    """A permission that is missing for all that is read in one directory, or of one file."""
    kinds = {(call.name, call.place): call for call in calls if not call.changes and call.place.startswith(ROOT)}
    return [Point(call, "EACCES", lasts=True) for call in kinds.values()]


def changing_points(calls: list[Call]) -> list[Point]:
    """Every fault at the calls that can change something."""
    return [point for point in all_points(calls) if point.call.changes]


def one_error_each(calls: list[Call]) -> list[Point]:
    """A kill at each call that can change something, and one error, another one each time."""
    changes = [call for call in calls if call.changes]
    errors = [Point(call, call.errors[number % len(call.errors)]) for number, call in enumerate(changes)]
    return [Point(call, KILL) for call in changes] + errors


def few_points(calls: list[Call]) -> list[Point]:
    """The first and the last of each kind of change, with a kill and one error each."""
    chosen: dict[tuple[str, str], Call] = {}
    for call in calls:
        if call.changes:
            chosen.setdefault((call.name, "first"), call)
            chosen[call.name, "last"] = call
    return [Point(call, fault) for call in dict.fromkeys(chosen.values()) for fault in (KILL, call.errors[0])]


def explore(case: Case, workers: Sequence[Worker], choose: Callable[[list[Call]], list[Point]] = all_points) -> Report:
    """Make the chosen faults, each in one of the workers, which are threads, and collect what does not hold.

    Each worker has its own directory and so its own undisturbed run. They must be the same, call by call: a task that
    made its calls in another order each time could not be stopped twice at the same one.
    """
    with ThreadPoolExecutor(len(workers)) as pool:
        known = _same_for_all(case, workers, pool)
        points = choose(known.calls)
        shares = pool.map(
            lambda number: [_probe(case, workers[number], one, known) for one in points[number :: len(workers)]],
            range(len(workers)),
        )
        probes = [probe for share in shares for probe in share]
    made = {probe.point for probe in probes if probe.made}
    problems = [f"{case.name}: {probe.point}: {text}" for probe in probes for text in probe.problems]
    return Report(known.calls, [point for point in points if point in made], problems)


def _same_for_all(case: Case, workers: Sequence[Worker], pool: ThreadPoolExecutor) -> Undisturbed:
    """The undisturbed run, once the workers agree on it: what other processes do may shift a call now and then."""
    for _attempt in range(_ATTEMPTS):
        runs = list(pool.map(lambda worker: undisturbed(case, worker), workers))
        if all(run.calls == runs[0].calls for run in runs):
            return runs[0]
    pairs = zip_longest(*(run.calls for run in runs))
    where = next(calls for calls in pairs if len(set(calls)) > 1)
    raise AssertionError(f"{case.name}: the order of calls differs from run to run: {where}")


def fresh(case: Case, worker: Worker) -> snapshot.Tree:
    """Make the tree that a case starts from."""
    worker.clear()
    case.prepare(worker.root)
    return snapshot.take(worker.root)


def undisturbed(case: Case, worker: Worker) -> Undisturbed:
    """Run twice: once to learn the paths, once to count the calls on them alone, as strace does with a fault."""
    fresh(case, worker)
    ended, everything = worker.trace(case.task, [])
    assert not ended.failed, f"{case.name} fails without a fault: {ended.text}"
    paths = sorted({path for call in everything for path in call.paths()} | {ROOT})
    fresh(case, worker)
    ended, calls = worker.trace(case.task, real_paths(paths, worker))
    assert not ended.failed, f"{case.name} fails without a fault: {ended.text}"
    assert calls, f"{case.name} makes no system call below its directory"
    return Undisturbed(calls, paths, snapshot.take(worker.root))


def real_paths(paths: list[str], worker: Worker) -> list[Path]:
    """The paths of a trace as they are for a worker."""
    return [Path(path.replace(ROOT, str(worker.root))) for path in paths]


class Probe(NamedTuple):
    """One fault: whether it was made, and what does not hold after it."""

    point: Point
    made: bool
    problems: list[str]


def _probe(case: Case, worker: Worker, point: Point, known: Undisturbed) -> Probe:
    """Make one fault, and say what does not hold after it."""
    for _attempt in range(_ATTEMPTS):
        before = fresh(case, worker)
        paths = [point.call.place] if point.lasts else known.paths
        ended, calls = worker.trace(case.task, real_paths(paths, worker), point)
        if _was_made(point, calls):
            break
    else:
        return Probe(point, False, [f"the run never came to this call, its last one was {calls[-1:]}"])
    observed = Observed(point, known.calls, before, known.wanted, snapshot.take(worker.root), ended, case.passing)
    problems = []
    for name, invariant in {**rules.ALWAYS, **case.invariants}.items():
        try:
            invariant(observed)
        except AssertionError as error:
            problems.append(f"{name}: {error}")
    return Probe(point, True, problems + _reading(case, worker, observed) + _again(case, worker, known))


def _was_made(point: Point, calls: list[Call]) -> bool:
    """Whether the fault was where it should be. What other processes on the host do may shift a number now and then.

    Only name, number and place are compared: strace does not show what a failed call would have read, nor any text
    of a process that is gone.
    """
    if point.kills:
        return bool(calls) and calls[-1][:2] == point.call[:2]
    if point.lasts:
        return any(call.name == point.call.name for call in calls)
    return any(call[:2] == point.call[:2] and call.place == point.call.place for call in calls)


def _reading(case: Case, worker: Worker, observed: Observed) -> list[str]:
    if case.reader is None:
        return []
    ended = worker.run(case.reader)
    problems = [f"the reader fails: {ended.message}"] if ended.failed else []
    left = snapshot.differences(snapshot.take(worker.root), observed.after)
    return problems + [f"the reader left {line}" for line in left]


def _again(case: Case, worker: Worker, known: Undisturbed) -> list[str]:
    second = worker.run(case.task)
    problems = [f"the same task again fails: {second.message}"] if second.failed else []
    problems += [f"after the same task again {line}" for line in _left(worker, known)]
    third = worker.run(case.task)
    if third.failed or third.changed:
        problems.append(f"the third run is not unchanged: {third.text}")
    return problems + [f"after the third run {line}" for line in _left(worker, known)]


def _left(worker: Worker, known: Undisturbed) -> list[str]:
    return snapshot.differences(snapshot.take(worker.root), known.wanted)
