# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kata sandboxes on a host of their own, with the modules at work in it.

A test that asks for `host` (`crowd` and `kata_host` do) runs as a process of that host: see tests/lab/own_host.py for
what is real there and what is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from ansible_collections.sandboxed.containers.tests.lab import forked, kata
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS, Sandbox
from ansible_collections.sandboxed.containers.tests.lab.own_host_plugin import host, pytest_runtest_protocol
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

forked.prepare("sandbox_state", "sandbox_state_info", "container_id_mapping")
__all__ = ["host", "pytest_runtest_protocol"]
T = TypeVar("T")


class Modules(NamedTuple):
    """sandbox_state and its info module, about one sandbox.

    sees_all: what is said about the processes. In a host of its own nobody else's can own its files, so True is true;
    None leaves it to the module, which then has to take absence for no proof (safety.md A2).
    """

    box: Sandbox
    sees_all: bool | None = True

    @property
    def options(self) -> dict[str, Any]:
        asserted = {} if self.sees_all is None else {"sees_all_processes": self.sees_all}
        return {**self.box.options, **asserted}

    def info(self, *ids: str, **options: Any) -> Result:
        """sandbox_state_info of all sandboxes or of some."""
        chosen = {"sandbox_id": list(ids)} if ids else {}
        return Forked("sandbox_state_info", {**self.options, **chosen, **options}).result()

    def look(self) -> dict[str, Any]:
        """What the info module says of the sandbox."""
        answer = self.info(self.box.id)
        assert not answer.failed, answer.message
        return answer.sandboxes[0]

    @property
    def verdict(self) -> str:
        return str(self.look().get("verdict"))

    def absent(self, **options: Any) -> Result:
        return self.start("absent", **options).result()

    def present(self, **options: Any) -> Result:
        return self.start("present", **options).result()

    def make(self, entries: list[dict[str, Any]], **options: Any) -> Result:
        """state=present of many entries."""
        given = {**self.options, "state": "present", "sandboxes": json.loads(json.dumps(entries)), **options}
        return Forked("sandbox_state", given).result()

    def start(self, state: str, **options: Any) -> Forked:
        """sandbox_state as a process that is not waited for."""
        return Forked("sandbox_state", {"sandbox_id": self.box.id, **self.options, "state": state, **options})


@pytest.fixture(params=list(GENERATIONS))
def layout(request: pytest.FixtureRequest) -> str:
    """Every generation; a test that is about one says so by parametrising this."""
    return str(request.param)


@pytest.fixture
def crowd(host: None) -> Iterator[Crowd]:
    """The processes of a test in a host of its own."""
    with Crowd(Path("/run/lab/programs")) as one:
        yield one


@pytest.fixture
def box(host: None, layout: str) -> Sandbox:
    """A sandbox with a second container, whose state is on disk."""
    one = kata.sandbox(layout, "lab-web-1", ["lab-web-1", "lab-app-1"])
    one.write()
    return one


@pytest.fixture
def modules(box: Sandbox) -> Modules:
    """The modules, about that sandbox."""
    return Modules(box)


def gone(box: Sandbox) -> list[str]:
    """What is still there of a sandbox that should be gone, hidden remains included."""
    places = [*box.trees, box.vm_dir, box.share_dir, box.initdata, box.firecracker_dir]
    found = [str(path) for path in places if path.exists() or path.is_symlink()]
    roots = {tree.parent.parent if box.layout != "kata_rs" else tree.parent for tree in box.trees}
    return found + [
        str(path) for root in roots if root.exists() for path in root.iterdir() if path.name.startswith(".")
    ]


def some_long(first: object, *others: object) -> list[Any]:
    """Parameters of which the first is run always, the others in `make test-all` only."""
    return [
        first,
        *(pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.long) for one in others),
    ]


def fetched(get: Callable[[], T]) -> T:
    """Something that the lab fetches; skips by name where it cannot."""
    try:
        return get()
    except Unavailable as exc:
        pytest.skip(str(exc))
