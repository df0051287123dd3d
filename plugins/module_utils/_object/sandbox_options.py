# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of sandbox_state and sandbox_state_info, and how they become wishes."""

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
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish

_DOCUMENTS = {"type": "dict", "options": {"state": {"type": "dict"}}}
SELECTORS: dict[str, dict[str, Any]] = {
    "layout": {"type": "str", "required": True, "choices": list(LAYOUTS)},
    "sandbox_id": {"type": "raw"},
    "container_id": {"type": "raw"},
    "run_root": {"type": "path"},
}
INFO_OPTIONS: dict[str, dict[str, Any]] = {**SELECTORS, "with_documents": {"type": "bool", "default": False}}
STATE_OPTIONS: dict[str, dict[str, Any]] = {
    **SELECTORS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "documents": _DOCUMENTS,
    "sandboxes": {
        "type": "list",
        "elements": "dict",
        "options": {
            "sandbox_id": {"type": "raw", "required": True},
            "container_id": {"type": "raw"},
            "documents": _DOCUMENTS,
        },
    },
    "fail_if_exists": {"type": "bool", "default": False},
    "on_mounted": {"type": "str", "choices": ["refuse", "unmount"], "default": "refuse"},
    "force": {"type": "bool", "default": False},
    "stop_processes": {"type": "bool", "default": False},
}


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


def wishes_of(params: dict[str, Any], layout: Layout) -> list[Wish]:
    """One wish an object, from the flat options or from the list. Raises InvalidInput."""
    common = Wish(
        "",
        present=params["state"] == "present",
        fail_if_exists=params["fail_if_exists"],
        unmount=params["on_mounted"] == "unmount",
        force=params["force"],
        stop_processes=params["stop_processes"],
    )
    if params["sandboxes"] is None:
        wishes = _flat(params, common, layout)
    else:
        wishes = [
            _entry(entry, f"sandboxes[{number}]", common, layout) for number, entry in enumerate(params["sandboxes"])
        ]
    seen: set[tuple[str, str]] = set()
    for wish in wishes:
        container_id = wish.container_id or (wish.sandbox_id if wish.present else "")
        if (wish.sandbox_id, container_id) in seen:
            raise InvalidInput("sandboxes", f"'{container_id or wish.sandbox_id}' is there twice", "Give it once.")
        seen.add((wish.sandbox_id, container_id))
    return wishes


def _flat(params: dict[str, Any], common: Wish, layout: Layout) -> list[Wish]:
    if params["sandbox_id"] is None:
        raise InvalidInput("sandbox_id", "it is missing", "Give sandbox_id, or a list of entries as sandboxes.")
    ids = as_names(params["sandbox_id"], "sandbox_id", layout.names)
    if len(ids) > 1 and (common.present or params["container_id"] is not None):
        raise InvalidInput(
            "sandbox_id", "several ids share everything only with state=absent", "Give a list of entries as sandboxes."
        )
    entries = [{**params, "sandbox_id": sandbox_id} for sandbox_id in ids]
    return [_entry(entry, "", common, layout) for entry in entries]


def _entry(entry: dict[str, Any], where: str, common: Wish, layout: Layout) -> Wish:
    prefix = f"{where}." if where else ""
    documents = {name: content for name, content in (entry["documents"] or {}).items() if content is not None}
    if documents and not common.present:
        raise InvalidInput(f"{prefix}documents", "there is nothing to write with state=absent", "Leave it out.")
    sandbox_id = name_of(entry, "sandbox_id", prefix, layout)
    container_id = name_of(entry, "container_id", prefix, layout)
    layout.check_length(sandbox_id, container_id or sandbox_id)
    return common._replace(sandbox_id=sandbox_id, container_id=container_id, documents=documents)


def name_of(entry: dict[str, Any], option: str, prefix: str, layout: Layout) -> str:
    """A name that can be on disk in this layout; empty when the option is not given."""
    if entry[option] is None:
        return ""
    return check_known_name(as_name(entry[option], prefix + option), prefix + option, layout.names)
