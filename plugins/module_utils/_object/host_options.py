# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of sandbox_host_info and sandbox_prune, and how they become a selection."""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import KINDS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import (
    ALL_LAYOUTS,
    FOREIGN,
    Selection,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, LIVE, UNKNOWN

VERDICTS = (LIVE, LEFTOVER, UNKNOWN, FOREIGN)
SELECTORS: dict[str, dict[str, Any]] = {
    "kinds": {"type": "list", "elements": "str", "choices": list(KINDS)},
    "layouts": {"type": "list", "elements": "str", "choices": list(ALL_LAYOUTS)},
    "patterns": {"type": "list", "elements": "str"},
    "min_age": {"type": "float", "default": 600},
}
INFO_OPTIONS: dict[str, dict[str, Any]] = {
    **SELECTORS,
    "verdicts": {"type": "list", "elements": "str", "choices": list(VERDICTS), "default": [LEFTOVER, UNKNOWN]},
    "limit": {"type": "int", "default": 200},
    "with_plan": {"type": "bool", "default": False},
}
PRUNE_OPTIONS: dict[str, dict[str, Any]] = {
    **SELECTORS,
    "plan": {"type": "dict"},
    "scope": {"type": "str", "choices": ["all_leftovers"]},
    "max_removals": {"type": "int", "default": 1000},
    "on_mounted": {"type": "str", "choices": ["refuse", "unmount"], "default": "refuse"},
    "stop_processes": {"type": "bool", "default": False},
}


def selection_of(params: dict[str, Any]) -> Selection:
    """Which objects are asked for. Raises InvalidInput. An empty list never means all."""
    min_age = params["min_age"]
    if not math.isfinite(min_age) or min_age < 0:
        raise InvalidInput("min_age", f"{min_age} is no number of seconds", "Give 0 or more.")
    for option in ("kinds", "layouts", "patterns"):
        if params[option] is not None and not params[option]:
            raise InvalidInput(option, "it is empty, and that never means all", "Leave it out, or name some.")
    if "" in (params["patterns"] or ()):
        raise InvalidInput("patterns", "one of them is empty, and matches no id", "Leave that out.")
    return Selection(
        params["host_root"],
        tuple(params["kinds"] or ()),
        tuple(params["layouts"] or ()),
        tuple(params["patterns"] or ()),
        min_age,
    )


def check_number(params: dict[str, Any], option: str) -> int:
    """A count of 0 or more. Raises InvalidInput."""
    number = params[option]
    if number < 0:
        raise InvalidInput(option, f"{number} is no count", "Give 0 or more.")
    return int(number)
