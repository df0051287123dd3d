# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of the checks and tests, run two at a time: ``python steps.py test``, ``python steps.py lint sanity``.

One line a step; the whole output of those that failed, or of all with V=1. The last line is "N passed, N failed".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import in_tree
import results
import tree

TOOLS = Path(__file__).resolve().parent
LOGS = tree.ROOT / ".cache" / "log"


class Step(NamedTuple):
    """A command in the tree, and how to read its result from the exit status and the output."""

    name: str
    command: list[str]
    read: Callable[[int, str], results.Result] = results.of_check
    folder: Path = tree.COPY


def pytest(name: str, *arguments: str) -> Step:
    """A run of pytest; its report is named after the step."""
    report = results.JUNIT / f"{name.replace(' ', '-')}.xml"
    words = ["python", "-m", "pytest", "-q", "-ra", f"--junitxml={report}", *arguments]
    return Step(name, words, partial(_read_pytest, report.stem))


def _read_pytest(report: str, status: int, _output: str) -> results.Result:
    result = results.of_pytest(report)
    return result._replace(failed=1, problem=f"pytest exited with {status}") if status and not result.failed else result


def ansible_test(name: str, read: Callable[[int, str], results.Result], *arguments: str) -> Step:
    """A run of ansible-test."""
    return Step(name, ["python", str(TOOLS / "ansible_testing.py"), *arguments], read)


DOCS = [
    Step(
        "documentation",
        ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", "."],
    )
]
LINT = [
    Step("ruff", ["ruff", "check", "."]),
    Step("format", ["ruff", "format", "--check", "--diff", "."]),
    Step("yamllint", ["yamllint", "--strict", "."]),
    # From the tree's root, so that each module has its full name.
    Step("types", ["mypy", f"--config-file={tree.COPY / 'pyproject.toml'}"], folder=tree.TREE),
    Step("changelog", ["antsibull-changelog", "lint"]),
    Step("ansible-lint", ["ansible-lint", "--offline", "--strict", "--profile", "production", "-q", "--nocolor"]),
    *DOCS,
]
# pylint is the slowest by far: in the short run it reads what is shipped, ruff and mypy read the tests.
PYLINT = ["sanity", "--test", "pylint"]
SANITY = [
    ansible_test("sanity", results.of_sanity, "sanity", "--skip-test", "pylint"),
    ansible_test("pylint", results.of_sanity, *PYLINT, "plugins/"),
]
COLLECTION = [pytest("collection", "tests/unit", "--ignore=tests/unit/plugins")]
UNITS = [ansible_test("units", results.of_units, "units")]
INTEGRATION = [pytest("real runtimes", "tests/integration", "-m", "not long")]
FAULTS = [pytest("faults", "tests/faults", "-m", "not long")]
ALL = [
    ansible_test("all pylint", results.of_sanity, *PYLINT),
    pytest("all units", "tests/unit", "-m", ""),
    pytest("all real runtimes", "tests/integration", "-m", ""),
    pytest("all faults", "tests/faults", "-m", ""),
    pytest("bench", "tests/bench", "-m", ""),
]

# A target's lanes run side by side, the steps of a lane one after the other: one lane computes, the other mostly waits.
TARGETS: dict[str, list[list[Step]]] = {
    "lint": [LINT[:4], LINT[4:]],
    "docs-check": [DOCS],
    "sanity": [SANITY],
    "units": [[*UNITS, *COLLECTION]],
    "integration": [INTEGRATION],
    "faults": [FAULTS],
    "test": [[*LINT, *SANITY, *UNITS], [*COLLECTION, *INTEGRATION, *FAULTS]],
    "test-all": [ALL],
}


class Outcome(NamedTuple):
    """A finished step."""

    step: Step
    result: results.Result
    seconds: float
    log: Path


def run(step: Step) -> Outcome:
    """Run one step with its output in a log file and nothing to read from."""
    log = LOGS / f"{step.name.replace(' ', '-')}.log"
    started = time.monotonic()
    for old in results.JUNIT.glob(f"{log.stem}.xml"):
        old.unlink()
    with open(log, "wb") as output:
        done = subprocess.run(
            step.command, cwd=step.folder, env=in_tree.environment(), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    result = step.read(done.returncode, log.read_text(encoding="utf-8", errors="replace"))
    return Outcome(step, result, time.monotonic() - started, log)


def show(outcome: Outcome, verbose: bool) -> None:
    """One line, and the output where it is wanted."""
    result = outcome.result
    counts = f"{result.passed} passed" + (f", {result.failed} failed" if result.failed else "")
    if result.skips:
        counts += ", skips below"
    word = "FAILED" if result.failed else "ok"
    print(f"{word:<7}{outcome.seconds:7.1f} s  {outcome.step.name:<18} {counts}", flush=True)
    if result.problem:
        print(f"       {result.problem}", flush=True)
    if result.failed or verbose:
        text = outcome.log.read_text(encoding="utf-8", errors="replace").rstrip()
        print(f"--- {' '.join(outcome.step.command)}\n{text}\n--- end of {outcome.step.name}", flush=True)


def run_lanes(lanes: list[list[Step]], verbose: bool) -> list[Outcome]:
    """Run all steps, the lanes side by side; show each when it is done."""
    outcomes = []

    def run_lane(steps: list[Step]) -> None:
        for step in steps:
            outcomes.append(run(step))
            show(outcomes[-1], verbose)

    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        list(pool.map(run_lane, lanes))  # a list, so that an error in a lane is raised here
    return outcomes


def main(targets: list[str]) -> int:
    """Run the targets one after the other; the exit status is 1 if anything failed."""
    unknown = [target for target in targets if target not in TARGETS]
    if unknown or not targets:
        raise SystemExit(f"unknown: {unknown}; one or more of {', '.join(TARGETS)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    tree.sync()
    started = time.monotonic()
    outcomes = [one for target in targets for one in run_lanes(TARGETS[target], os.environ.get("V") == "1")]
    skips = list(dict.fromkeys(skip for one in outcomes for skip in one.result.skips))
    failed = [one for one in outcomes if one.result.failed]
    print(f"\n{len(outcomes)} steps in {time.monotonic() - started:.0f} s")
    for skip in skips:
        print(f"skipped: {skip}")
    for one in failed:
        print(f"failed:  {one.step.name}, see {one.log.relative_to(tree.ROOT)}")
    passes, failures = (sum(counts) for counts in zip(*((one.result.passed, one.result.failed) for one in outcomes)))
    print(f"{passes} passed, {failures} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
