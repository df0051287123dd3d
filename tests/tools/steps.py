# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of the checks and tests, run two or three at a time: ``python steps.py test``, ``steps.py lint sanity``.

One line a step, with the time and the processor time that it took; every 20 seconds one that tells what is at work. The
whole output of the steps that failed, or of all with V=1. The last line is "N passed, N failed".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import NamedTuple

import in_tree
import results
import tree

TOOLS = Path(__file__).resolve().parent
LOGS = tree.ROOT / ".cache" / "log"
HEARTBEAT = 20.0  # seconds


class Step(NamedTuple):
    """A command in the tree, and how to read its result from the exit status and the output."""

    name: str
    command: list[str]
    read: Callable[[int, str], results.Result] = results.of_check
    folder: Path = tree.COPY

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return LOGS / f"{self.name.replace(' ', '-')}.log"


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
FLEET = [pytest("fleet", "tests/fleet", "-m", "not long")]
MOLECULE = [pytest("molecule", "tests/molecule")]
# What `make test` does not run; the fleet, pylint and the bench are whole here. The molecule scenarios have `make
# molecule`: while one has its host, the other tests of real runtimes wait.
# On systems of their own, which do not see each other: two at a time.
ON_BOOTED = ["tests/integration/roles", "tests/integration/virtiofsd/test_role.py"]
LONG_TOGETHER = [
    pytest("long real runtimes", "tests/integration", "-m", "long", *(f"--ignore={path}" for path in ON_BOOTED)),
    ansible_test("all pylint", results.of_sanity, *PYLINT),
    pytest("long units", "tests/unit", "-m", "long", "-n", "1"),  # a worker has its processes for itself
    pytest("long faults", "tests/faults", "-m", "long"),
]
LONG_ALONE = [
    pytest("roles", *ON_BOOTED, "-m", "long", "-n", "2"),
    pytest("all fleet", "tests/fleet", "-m", ""),
    pytest("bench", "tests/bench", "-m", ""),
]

# The steps of a target in the order in which they are begun: the longest one first, so that none is left to run alone
# at the end.
TARGETS: dict[str, list[Step]] = {
    "lint": LINT,
    "docs-check": DOCS,
    "sanity": SANITY,
    "units": [*UNITS, *COLLECTION],
    "integration": INTEGRATION,
    "faults": FAULTS,
    "fleet": FLEET,
    "molecule": MOLECULE,
    "test": [*INTEGRATION, *UNITS, *LINT, *SANITY, *FAULTS, *COLLECTION],  # the fleet is in test-all
    "long-together": LONG_TOGETHER,
    "long-alone": LONG_ALONE,
}
# How many run at a time, else two. Real runtimes are waited for most of the time; what boots systems, two at a time,
# has the machine for itself.
AT_ONCE = {"test": 3, "long-alone": 1}
# The end comes with the first step of a target: what runs beside it gives way to it.
NICE = 10


class Outcome(NamedTuple):
    """A finished step. computed: the seconds of processor time, which do not grow when others use the machine."""

    step: Step
    result: results.Result
    seconds: float
    computed: float


def run(step: Step, nice: int = 0) -> Outcome:
    """Run one step with its output in a log file and nothing to read from."""
    started = time.monotonic()
    for old in results.JUNIT.glob(f"{step.log.stem}.xml"):
        old.unlink()
    with open(step.log, "wb") as output:
        process = subprocess.Popen(
            step.command, cwd=step.folder, env=in_tree.environment(), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
        _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    result = step.read(process.returncode, step.log.read_text(encoding="utf-8", errors="replace"))
    return Outcome(step, result, time.monotonic() - started, used.ru_utime + used.ru_stime)


def show(outcome: Outcome, verbose: bool) -> None:
    """One line, and the output where it is wanted."""
    result = outcome.result
    counts = f"{result.passed} passed" + (f", {result.failed} failed" if result.failed else "")
    if result.skips:
        counts += ", skips below"
    word = "FAILED" if result.failed else "ok"
    times = f"{outcome.seconds:7.1f} s {outcome.computed:7.1f} s cpu"
    print(f"{word:<7}{times}  {outcome.step.name:<14}  {counts}", flush=True)
    for line in filter(None, (result.note, result.problem)):
        print(f"{'':32}{line}", flush=True)
    if result.failed or verbose:
        text = outcome.step.log.read_text(encoding="utf-8", errors="replace").rstrip()
        print(f"--- {' '.join(outcome.step.command)}\n{text}\n--- end of {outcome.step.name}", flush=True)


def at_work(steps: list[Step]) -> str:
    """What is being done: "units (2312 done), real runtimes (31 done)"."""
    parts = []
    for step in steps:
        done = results.done_so_far(step.log.read_text(encoding="utf-8", errors="replace")) if step.log.exists() else 0
        parts.append(f"{step.name} ({done} done)" if done else step.name)
    return ", ".join(parts)


def run_all(steps: list[Step], at_once: int, verbose: bool) -> list[Outcome]:
    """Run all steps, some of them side by side; show each when it is done, and that there is life until then."""
    started = time.monotonic()
    running: list[Step] = []
    outcomes = []

    def run_one(step: Step) -> None:
        running.append(step)
        try:
            outcomes.append(run(step, 0 if step is steps[0] else NICE))
        finally:
            running.remove(step)
        show(outcomes[-1], verbose)

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(run_one, step) for step in steps]
        try:
            while wait(futures, HEARTBEAT).not_done:
                print(f"{'...':<7}{time.monotonic() - started:5.0f}   s {'':15}{at_work(list(running))}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for future in futures:
        future.result()  # raises the error of a step that could not be run
    return outcomes


def main(targets: list[str]) -> int:
    """Run the targets one after the other; the exit status is 1 if anything failed."""
    unknown = [target for target in targets if target not in TARGETS]
    if unknown or not targets:
        raise SystemExit(f"unknown: {unknown}; one or more of {', '.join(TARGETS)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    tree.sync()
    in_tree.private_home()  # once, before many look for it
    started = time.monotonic()
    verbose = os.environ.get("V") == "1"
    outcomes = [one for name in targets for one in run_all(TARGETS[name], AT_ONCE.get(name, 2), verbose)]
    skips = list(dict.fromkeys(skip for one in outcomes for skip in one.result.skips))
    failed = [one for one in outcomes if one.result.failed]
    print(f"\n{len(outcomes)} steps in {time.monotonic() - started:.0f} s")
    for skip in skips:
        print(f"skipped: {skip}")
    for one in failed:
        print(f"failed:  {one.step.name}, see {one.step.log.relative_to(tree.ROOT)}")
    passes, failures = (sum(counts) for counts in zip(*((one.result.passed, one.result.failed) for one in outcomes)))
    print(f"{passes} passed, {failures} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
