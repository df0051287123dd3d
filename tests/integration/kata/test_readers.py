# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B3: who looks takes no lock whose owner takes it without waiting, and waits for no other one longer than allowed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules
from ansible_collections.sandboxed.containers.tests.lab import forked, kata, processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

forked.prepare("sandbox_host_info", "sandbox_prune", "virtiofsd_daemon_info", "container_bundle_info")
pytestmark = pytest.mark.real
HOST = {"sees_all_processes": True, "min_age": 0}
# By what each is called here: the module, and its options beside those that lead to a sandbox.
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "info": ("sandbox_state_info", {}),
    "info with documents": ("sandbox_state_info", {"with_documents": True}),
    "a plan": ("sandbox_state", {"state": "absent", "sandbox_id": "lab-web-1", "_ansible_check_mode": True}),
    "the host": ("sandbox_host_info", HOST),
    "a plan for the host": ("sandbox_prune", {"scope": "all_leftovers", "_ansible_check_mode": True, **HOST}),
    "daemons": ("virtiofsd_daemon_info", {"sees_all_processes": True}),
    "bundles": ("container_bundle_info", {"layout": "containerd_v2", "sees_all_processes": True}),
}


def options_of(name: str, modules: Modules) -> tuple[str, dict[str, Any]]:
    module, options = LOOKS[name]
    return module, {**(modules.options if module.startswith("sandbox_state") else {}), **options}


def looked(name: str, modules: Modules) -> Result:
    module, options = options_of(name, modules)
    result = Forked(module, options).result()
    assert not result.failed, (name, result.message)
    return result


def by_flock(descriptor: int, operation: int) -> None:
    """As Kata 1.7 to 1.10 does with the directory of a sandbox."""
    fcntl.flock(descriptor, operation)


def by_record(descriptor: int, operation: int) -> None:
    """As virtiofsd does with its pid file."""
    fcntl.lockf(descriptor, operation)


class Owned(NamedTuple):
    """A lock that its owner takes without waiting. path: below the sandbox's state."""

    layout: str
    path: str
    take: Callable[[int, int], None]


OWNED = [
    pytest.param(Owned("kata_persist", ".", by_flock), id="the directory of Kata 1.7 to 1.10"),
    pytest.param(Owned("kata_rs", "root/virtiofsd.sock.pid", by_record), id="the pid file of virtiofsd"),
    pytest.param(Owned("kata_rs", "root/virtiofsd.sock.pid", by_flock), id="the same by flock"),
]


@contextmanager
def owner_at_work(path: Path, take: Callable[[int, int], None]) -> Iterator[Callable[[], tuple[int, int]]]:
    """A process that takes and gives back a lock all the time, as often as it can. Yields what ends it and tells how
    often it had the lock, and how often not."""
    receive, send = os.pipe()
    stop, stopped = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(stopped)
        _take_and_give_back(path, take, stop, send)
    os.close(send)
    os.close(stop)

    def result() -> tuple[int, int]:
        os.close(stopped)
        had, missed = os.read(receive, 64).split()
        return int(had), int(missed)

    try:
        yield result
    finally:
        os.close(receive)
        processes.kill(pid)
        os.waitpid(pid, 0)


def _take_and_give_back(path: Path, take: Callable[[int, int], None], stop: int, send: int) -> None:
    """Never returns."""
    had = missed = 0
    os.set_blocking(stop, False)
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    while True:
        try:
            take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            had += 1
            take(descriptor, fcntl.LOCK_UN)
        except OSError:
            missed += 1
        try:
            os.read(stop, 1)
        except BlockingIOError:
            continue
        os.write(send, f"{had} {missed}".encode())
        os._exit(0)


@pytest.mark.parametrize("owned", OWNED)
def test_B3_a_lock_that_its_owner_does_not_wait_for_is_never_missed_by_it(host: None, owned: Owned) -> None:
    box = kata.sandbox(owned.layout)
    box.write()
    box.make_vm()
    modules = Modules(box)
    with owner_at_work(box.state_dir / owned.path, owned.take) as result:
        for name in [*LOOKS] * 3:
            looked(name, modules)
        had, missed = result()
    assert had > 1000 and missed == 0


@pytest.mark.parametrize("name", list(LOOKS))
def test_B3_the_locks_that_a_look_takes(host: None, name: str, layout: str) -> None:
    """By its system calls. Kata 1.6 to 1.8 waits for its lock, so it may be shared, without ever waiting inside the
    kernel; nobody else's is taken at all."""
    box = kata.sandbox(layout)
    box.write()
    box.make_vm()
    module, options = options_of(name, Modules(box))
    calls = [line for line in forked.traced(module, options, ["flock", "fcntl"]) if _locks(line)]
    shared = layout == "kata_store" and name in ("info", "info with documents", "the host", "a plan for the host")
    assert all("LOCK_SH|LOCK_NB" in call for call in calls), calls
    assert bool(calls) == shared, calls


def _locks(line: str) -> bool:
    """Whether a system call locks something, or tries to."""
    return line.startswith("flock(") or "SETLK" in line


@pytest.mark.parametrize("layout", ["kata_store"])
def test_B3_the_waiting_of_a_look_has_an_end(crowd: Crowd, layout: str) -> None:
    """It is that of the whole task, however many sandboxes are locked; and a scan of the host never waits."""
    boxes = [kata.sandbox(layout, f"lab-web-{number}") for number in range(20)]
    for box in boxes:
        box.write()
    for box in boxes[1:]:
        crowd.start(Program("/usr/bin/lab-holder", locks=[box.state_dir / "lock"]))
    modules = Modules(boxes[0])
    begun = time.monotonic()
    found = {one["sandbox_id"]: one["verdict"] for one in modules.info(lock_timeout=1).sandboxes}
    waited = time.monotonic() - begun
    summary = looked("the host", modules).answer["summary"]
    scanned = time.monotonic() - begun - waited
    assert [name for name in found if found[name] != "unknown"] == [boxes[0].id]
    assert (summary["unknown"], summary["leftover"]) == (len(boxes) - 1, 1)
    assert 1 <= waited < 10 and scanned < 1, (waited, scanned)
