# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    LIVE,
    UNKNOWN,
    Evidence,
    judge,
)

OWNER = ("runsc-sandbox (pid 7, running since 02:14) runs it",)
GONE = ("recorded pid 7 (sandbox) is gone",)
BLIND = "not all processes are visible here"

RULES = {
    "A1 an owner is life": (Evidence(owners=OWNER), LIVE),
    "A1 a stopped owner is life": (Evidence(owners=("x (pid 7, stopped, started 02:14) runs it",)), LIVE),
    "A1 life outweighs the death of others": (Evidence(owners=OWNER, dead=GONE), LIVE),
    "A1 life outweighs every doubt": (Evidence(OWNER, ("s",), ("u",), GONE, BLIND), LIVE),
    "A1 an unreadable file proves nothing": (Evidence(unknown=("x.state cannot be read",)), UNKNOWN),
    "A1 a missing record and all in sight": (Evidence(), LEFTOVER),
    "A1 death and an unreadable file": (Evidence(dead=GONE, unknown=("x.state cannot be read",)), UNKNOWN),
    "A2 absence proves nothing where processes are hidden": (Evidence(blind=BLIND), UNKNOWN),
    "A2 also when the recorded pid seems gone": (Evidence(dead=GONE, blind=BLIND), UNKNOWN),
    "A2 an owner that is seen is alive even so": (Evidence(owners=OWNER, blind=BLIND), LIVE),
    "A4 a bundle that its engine may still need": (
        Evidence(suspects=("its engine may still know it",), dead=GONE),
        UNKNOWN,
    ),
    "A5 listed by an engine": (Evidence(suspects=("a registry lists it",)), UNKNOWN),
    "A6 a shim that may serve its pod": (Evidence(suspects=("shim (pid 8) serves its pod",), dead=GONE), UNKNOWN),
    "A6 its own shim": (Evidence(owners=("shim (pid 8) serves its pod",), dead=GONE), LIVE),
    "A7 a cgroup that carries the id": (Evidence(suspects=("x (pid 9) is in the cgroup /c1",)), UNKNOWN),
    "A7 the recorded pids are gone": (Evidence(dead=GONE), LEFTOVER),
    "A8 a process that may mean another root": (Evidence(suspects=("runsc (pid 9) names it",)), UNKNOWN),
    "A9 a zombie is dead": (Evidence(dead=("recorded pid 7 (sandbox) is gone",)), LEFTOVER),
}


@pytest.mark.parametrize(("evidence", "kind"), RULES.values(), ids=RULES)
def test_verdict(evidence: Evidence, kind: str) -> None:
    assert judge(evidence).kind == kind


@pytest.mark.parametrize("parts", list(itertools.product((False, True), repeat=5)))
def test_A1_every_combination(parts: tuple[bool, ...]) -> None:
    """Leftover only where there is no owner and no doubt of any kind; live exactly where there is an owner."""
    owner, suspect, unread, dead, blind = parts
    verdict = judge(
        Evidence(
            ("o",) if owner else (),
            ("s",) if suspect else (),
            ("u",) if unread else (),
            ("d",) if dead else (),
            "b" if blind else "",
        )
    )
    assert verdict.kind == (LIVE if owner else UNKNOWN if suspect or unread or blind else LEFTOVER)
    expected = {
        LIVE: ("o",),
        UNKNOWN: tuple(letter for letter, there in (("s", suspect), ("u", unread), ("b", blind)) if there),
        LEFTOVER: (("d",) if dead else ()) + ("no process names it",),
    }
    assert verdict.reasons == expected[verdict.kind]
