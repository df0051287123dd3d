# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prune would do, as a document that another run carries out: only on this host, in this boot (safety.md F2)."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Judged
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan, in_order
from ansible_collections.sandboxed.containers.plugins.module_utils._object.printable import given_again
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER

SCHEMA = 1
VERSION = "0.1.0"  # of the collection
_NEW_PLAN = "Nothing was changed. Make a new plan with sandbox_host_info with_plan=true."
Key = tuple[str, str, str, str, str]  # of an object; a step names its parts
_IN_A_STEP = ("kind", "layout", "namespace", "id", "place")


def plan_of(found: Scan, host_root: str) -> dict[str, Any]:
    """The plan that removes all leftovers among the selected objects."""
    return plan_for(in_order([one for one in found.objects if one.verdict == LEFTOVER]), found, host_root)


def plan_for(leftovers: Sequence[Judged], found: Scan, host_root: str) -> dict[str, Any]:
    """The plan that removes these objects."""
    return {
        "schema": SCHEMA,
        "collection_version": VERSION,
        "machine_id": host.machine_id(host_root) or "",
        "boot_id": host.boot_id(),
        "host_root": host_root,
        "created": int(time.time()),
        "complete": not found.problems,
        "steps": [step_of(one) for one in leftovers],
    }


def step_of(one: Judged) -> dict[str, Any]:
    """The removal of one object, with what identifies it."""
    kind, layout, namespace, name, place = one.candidate.key
    known = {"kind": kind, "layout": layout, "namespace": namespace, "id": name, "place": place}
    return {**known, "identity": one.candidate.identity}


def check_plan(plan: Any, host_root: str) -> dict[Key, dict[str, int]]:
    """The steps of a plan: the key of each object, and its identity. Raises InvalidInput."""
    if not isinstance(plan, dict) or not plan:
        raise InvalidInput(
            "plan", "it is empty, and that never means everything", "Give the plan of sandbox_host_info."
        )
    if isinstance(plan.get("plan"), dict):
        raise InvalidInput("plan", "it is the whole result of sandbox_host_info", "Give its .plan.")
    if plan.get("schema") != SCHEMA or not isinstance(plan.get("steps"), list):
        raise InvalidInput("plan", "it is no plan of this version of the collection", _NEW_PLAN)
    here = {"machine_id": host.machine_id(host_root) or "", "boot_id": host.boot_id(), "host_root": host_root}
    for name, value in here.items():
        if plan.get(name) != value:
            made, this = _short(plan.get(name)), _short(value)
            raise InvalidInput("plan", f"it was made for {name} {made}, and here it is {this}", _NEW_PLAN)
    return dict(_step(step, number) for number, step in enumerate(plan["steps"]))


def _step(step: Any, number: int) -> tuple[Key, dict[str, int]]:
    fits = (
        isinstance(step, dict)
        and all(isinstance(step.get(name), str) for name in _IN_A_STEP)
        and isinstance(step.get("identity"), dict)
        and all(isinstance(value, int) for value in step["identity"].values())
    )
    if not fits:
        raise InvalidInput(f"plan.steps[{number}]", "it is no step of a plan", _NEW_PLAN)
    kind, layout, namespace, name, place = (step[one] for one in _IN_A_STEP)
    return _as_told((kind, layout, namespace, name, place)), step["identity"]


def _as_told(key: Key) -> Key:
    """A key as a plan has it: bytes that are no text come back as what is shown of them."""
    kind, layout, namespace, name, place = map(given_again, key)
    return kind, layout, namespace, name, place


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 12 else f"{text[:8]}…"


def chosen(found: Scan, steps: dict[Any, dict[str, int]] | None) -> tuple[list[Judged], list[tuple[Any, str]]]:
    """The objects to be removed, in order; and of a plan the steps that are skipped, with the reason."""
    leftovers = [one for one in found.objects if one.verdict == LEFTOVER]
    if steps is None:
        return in_order(leftovers), []
    by_key: dict[Key, list[Judged]] = {}
    for judged in found.objects:
        by_key.setdefault(_as_told(judged.candidate.key), []).append(judged)
    there = {_as_told(one.candidate.key) for one in found.all}
    wanted: list[Judged] = []
    skipped: list[tuple[Any, str]] = []
    for key, identity in steps.items():
        named = by_key.get(key, [])
        one = next((one for one in named if one.candidate.was(identity)), None)
        if not named:
            skipped.append((key, _why_not_there(key, there, found.problems)))
        elif one is None:
            skipped.append((key, "it was changed or replaced since the plan was made"))
        elif one.verdict != LEFTOVER:
            skipped.append((key, f"it is {one.verdict} now: {'; '.join(one.reasons[:2])}"))
        else:
            wanted.append(one)
    return in_order(wanted), skipped


def _why_not_there(key: Key, there: Collection[Key], problems: Sequence[str]) -> str:
    if key in there:
        return "it is not among the selected ones"
    if problems:
        return f"it was not found, and not all could be looked at: {problems[0]}"
    return "it is gone"
