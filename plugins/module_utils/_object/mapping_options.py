# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of container_id_mapping, and what they become."""

from __future__ import annotations

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_name,
    as_names,
    check_known_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import NAMES
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import (
    ContainerMapping,
    MappingWish,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_root import MappingRoot

MAPPING_OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "container_id": {"type": "raw"},
    "sandbox_id": {"type": "raw"},
    "mappings": {
        "type": "list",
        "elements": "dict",
        "options": {"container_id": {"type": "raw", "required": True}, "sandbox_id": {"type": "raw"}},
    },
    "root": {"type": "path"},
    "remap": {"type": "bool", "default": False},
}


def items_of(params: dict[str, Any]) -> list[ContainerMapping]:
    """The items of a task. Raises StateError for what cannot be used."""
    root = MappingRoot(params["host_root"], params["root"])
    present = params["state"] == "present"
    entries = params["mappings"] if params["mappings"] is not None else _flat(params, present)
    seen: set[str] = set()
    items = []
    for number, entry in enumerate(entries):
        prefix = f"mappings[{number}]." if params["mappings"] is not None else ""
        wish = _wish(entry, prefix, present, params["remap"])
        if wish.container_id in seen:
            raise InvalidInput(f"{prefix}container_id", f"'{wish.container_id}' is there twice", "Give it once.")
        seen.add(wish.container_id)
        items.append(ContainerMapping(wish, root))
    return items


def _flat(params: dict[str, Any], present: bool) -> list[dict[str, Any]]:
    if params["container_id"] is None:
        raise InvalidInput("container_id", "it is missing", "Give container_id, or a list of entries as mappings.")
    ids = as_names(params["container_id"], "container_id", NAMES)
    if len(ids) > 1 and present:
        why = "several ids share everything only with state=absent"
        raise InvalidInput("container_id", why, "Give a list of entries as mappings.")
    return [{"container_id": container_id, "sandbox_id": params["sandbox_id"]} for container_id in ids]


def _wish(entry: dict[str, Any], prefix: str, present: bool, remap: bool) -> MappingWish:
    container_id = _name(entry, "container_id", prefix)
    if present:
        return MappingWish(container_id, _name(entry, "sandbox_id", prefix), remap)
    if entry["sandbox_id"] is not None:
        raise InvalidInput(f"{prefix}sandbox_id", "a mapping is removed whatever it leads to", "Leave it out.")
    return MappingWish(container_id)


def _name(entry: dict[str, Any], key: str, prefix: str) -> str:
    option = f"{prefix}{key}"
    if entry[key] is None:
        raise InvalidInput(option, "it is missing", "Give the sandbox that the container belongs to.")
    return check_known_name(as_name(entry[key], option), option, NAMES)
