# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole hosts with sandboxes of every kind, dead and alive, and the modules that look at and prune them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import forked
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.own_host_plugin import host, pytest_runtest_protocol
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

forked.prepare("sandbox_host_info", "sandbox_prune")
__all__ = ["host", "pytest_runtest_protocol"]
ALL = ["live", "leftover", "unknown", "foreign"]
# Cgroups are the machine's, and so of tests that run beside these: whoever is about them says so.
KINDS = ["process", "daemon", "socket", "bundle", "sandbox", "mapping", "rootless"]


class Host:
    """The modules, about this host. Nobody outside of it can own what lies in here, so that is asserted (A2)."""

    options: dict[str, Any] = {"sees_all_processes": True, "min_age": 0}  # noqa: RUF012  # never changed

    def info(self, **options: Any) -> Result:
        answer = Forked("sandbox_host_info", {**self.options, "kinds": KINDS, "verdicts": ALL, **options}).result()
        assert not answer.failed, answer.message
        return answer

    def objects(self, **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.info(**options).answer["objects"]
        return found

    def verdicts(self, **options: Any) -> dict[tuple[str, str], str]:
        """By kind and id."""
        return {(one["kind"], one["id"]): one["verdict"] for one in self.objects(**options)}

    def leftovers(self) -> set[tuple[str, str]]:
        return {key for key, verdict in self.verdicts().items() if verdict == "leftover"}

    def prune(self, **options: Any) -> Result:
        given = {"scope": "all_leftovers", "on_mounted": "unmount", "kinds": KINDS, **options}
        if "plan" in options:
            given.pop("scope")
        return Forked("sandbox_prune", {**self.options, **given}).result()


@pytest.fixture
def crowd(host: None) -> Iterator[Crowd]:
    """The processes of a test in a host of its own."""
    with Crowd(Path("/run/lab/programs")) as one:
        yield one


@pytest.fixture
def machine(host: None) -> Host:
    """The modules in a host of their own."""
    return Host()
