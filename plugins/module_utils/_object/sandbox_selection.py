# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which sandboxes a task is about, and what an info module makes of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_name,
    as_names,
    check_known_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Layout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS

SELECTORS: dict[str, dict[str, Any]] = {
    "layout": {"type": "str", "required": True, "choices": list(LAYOUTS)},
    "sandbox_id": {"type": "raw"},
    "container_id": {"type": "raw"},
    "run_root": {"type": "path"},
    "config_root": {"type": "path"},
}
INFO_OPTIONS: dict[str, dict[str, Any]] = {**SELECTORS, "with_documents": {"type": "bool", "default": False}}


class Selection(NamedTuple):
    """What an info module is asked for. sandbox_ids None: all. container_id empty: all containers."""

    sandbox_ids: list[str] | None
    container_id: str


def selection_of(params: dict[str, Any], layout: Layout) -> Selection:
    """The sandboxes that an info module is to show. Raises InvalidInput; an empty list is one, and means none."""
    if params["sandbox_id"] is None:
        if params["container_id"] is not None:
            raise InvalidInput("container_id", "it is a container of one sandbox", "Give sandbox_id as well.")
        return Selection(None, "")
    names = [
        check_known_name(name, "sandbox_id", layout.names)
        for name in as_names(params["sandbox_id"], "sandbox_id", layout.names)
    ]
    if len(names) != 1 and params["container_id"] is not None:
        raise InvalidInput("container_id", f"it is a container of one sandbox, and {len(names)} are given", "Give one.")
    return Selection(names, name_of(params, "container_id", "", layout))


def roots_of(params: dict[str, Any], layout: Layout) -> dict[str, str | None]:
    """The root directories that the user named, by option. Raises InvalidInput for one that the layout has not."""
    options = [rule.option for rule in layout.root_rules]
    if "config_root" not in options and params["config_root"] is not None:
        raise InvalidInput("config_root", f"{layout.name} has no such directory", "Leave it out.")
    return {option: params[option] for option in options}


def name_of(entry: dict[str, Any], option: str, prefix: str, layout: Layout) -> str:
    """A name that can be on disk in this layout; empty when the option is not given."""
    if entry[option] is None:
        return ""
    rule = layout.container_names if option == "container_id" else layout.names
    return check_known_name(as_name(entry[option], prefix + option), prefix + option, rule)
