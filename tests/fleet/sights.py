# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of a fleet look at: plans, recaps, what lives and what is left."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.sandboxed.containers.tests.lab import fleet, trees
from ansible_collections.sandboxed.containers.tests.lab.fleet import Fleet, Member
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

AUDIT, PRUNE = "sandboxed.containers.audit", "sandboxed.containers.prune"
SBS, RUNSC, SHARED = "/run/vc/sbs", "/run/runsc", "/run/kata-containers/shared/sandboxes"


def plan_of(one: Fleet, name: str) -> dict[str, Any]:
    """What an audit has written of a host."""
    found: dict[str, Any] = json.loads((one.plans / f"{name}.json").read_text(encoding="utf-8"))
    return found


def changed(outcome: Outcome) -> set[str]:
    """The hosts on which a playbook has changed something."""
    assert outcome.code == 0, outcome.output
    return {name for name, counts in fleet.recap(outcome.output).items() if counts["changed"]}


class Lives:
    """The living sandbox of a host, and its tree as it was."""

    def __init__(self, member: Member, **more: list[str]) -> None:
        self._member = member
        self._pids = member.put(live=["lab-fleet-live"], **more)
        self._trees = [
            member.path(f"{SBS}/lab-fleet-live"),
            member.path("/run/kata-containers/shared/sandboxes/lab-fleet-live"),
        ]
        self._before = trees.listing(*self._trees)

    def as_before(self) -> bool:
        assert self._pids and all(self._member.has(pid) for pid in self._pids), f"{self._member.name}: {self._pids}"
        return trees.listing(*self._trees) == self._before


def rest(member: Member) -> set[str]:
    """The sandboxes whose state is on a host."""
    folders = [member.path(SBS), member.path(RUNSC)]
    return {one.name.partition("_sandbox:")[0] for folder in folders if folder.exists() for one in folder.iterdir()}
