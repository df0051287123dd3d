# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of sandbox_state, and how they become wishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    NameRule,
    as_name,
    as_names,
    check_known_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Layout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import SandboxState, Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_selection import (
    SELECTORS,
    name_of,
    roots_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree

# The documents of all layouts; a test compares the two, since importing all layouts for it would cost every task.
_MAPPINGS = ("config", "state", "network", "hypervisor", "agent", "process", "persist")
_LISTS = ("mounts", "devices")
_DOCUMENTS = {
    "type": "dict",
    "options": {
        **{name: {"type": "dict"} for name in _MAPPINGS},
        **{name: {"type": "list", "elements": "dict"} for name in _LISTS},
    },
}
STATE_OPTIONS: dict[str, dict[str, Any]] = {
    **SELECTORS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "documents": _DOCUMENTS,
    "raw_items": {"type": "dict"},
    "sandboxes": {
        "type": "list",
        "elements": "dict",
        "options": {
            "sandbox_id": {"type": "raw", "required": True},
            "container_id": {"type": "raw"},
            "documents": _DOCUMENTS,
            "raw_items": {"type": "dict"},
        },
    },
    "fail_if_exists": {"type": "bool", "default": False},
    "on_mounted": {"type": "str", "choices": ["refuse", "unmount"], "default": "refuse"},
    "force": {"type": "bool", "default": False},
    "stop_processes": {"type": "bool", "default": False},
}


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
        own_container = layout.is_flat and wish.present and not wish.container_id
        container_id = wish.sandbox_id if own_container else wish.container_id
        if (wish.sandbox_id, container_id) in seen:
            raise InvalidInput("sandboxes", f"'{container_id or wish.sandbox_id}' is there twice", "Give it once.")
        seen.add((wish.sandbox_id, container_id))
    return [wish._replace(with_sandbox=(wish.sandbox_id, "") in seen) if wish.container_id else wish for wish in wishes]


def items_of(params: dict[str, Any], layout: Layout) -> Sequence[SandboxState]:
    """The items of a task. Raises StateError for what cannot be used."""
    wishes = wishes_of(params, layout)
    tree = Tree(layout, params["host_root"], roots_of(params, layout))
    if layout.is_flat:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.flat_sandbox import FlatSandbox

        return [FlatSandbox(wish, tree) for wish in wishes]
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox

    return [TreeSandbox(wish, tree) for wish in wishes]


def _flat(params: dict[str, Any], common: Wish, layout: Layout) -> list[Wish]:
    if params["sandbox_id"] is None:
        raise InvalidInput("sandbox_id", "it is missing", "Give sandbox_id, or a list of entries as sandboxes.")
    ids = as_names(params["sandbox_id"], "sandbox_id", layout.names)
    if len(ids) > 1 and (common.present or params["container_id"] is not None):
        raise InvalidInput(
            "sandbox_id", "several ids share everything only with state=absent", "Give a list of entries as sandboxes."
        )
    if not ids:
        return []
    first = _entry({**params, "sandbox_id": ids[0]}, "", common, layout)
    return [first, *(first._replace(sandbox_id=_another_id(name, layout)) for name in ids[1:])]


def _another_id(name: str, layout: Layout) -> str:
    """An id beside the first one, with which it shares all else."""
    layout.check_length(check_known_name(name, "sandbox_id", layout.names), name)
    return name


def _entry(entry: dict[str, Any], where: str, common: Wish, layout: Layout) -> Wish:
    prefix = f"{where}." if where else ""
    documents = {name: content for name, content in (entry["documents"] or {}).items() if content is not None}
    _check_documents(documents, f"{prefix}documents", layout)
    raw_items = _raw_items(entry.get("raw_items") or {}, f"{prefix}raw_items", layout)
    for option, given in (("documents", documents), ("raw_items", raw_items)):
        if given and not common.present:
            raise InvalidInput(f"{prefix}{option}", "there is nothing to write with state=absent", "Leave it out.")
    sandbox_id = name_of(entry, "sandbox_id", prefix, layout)
    container_id = name_of(entry, "container_id", prefix, layout)
    if container_id and not any(rule.container for rule in layout.documents):
        why = f"{layout.name} keeps nothing for single containers"
        raise InvalidInput(f"{prefix}container_id", why, "Leave it out.")
    layout.check_length(sandbox_id, container_id or sandbox_id)
    return common._replace(sandbox_id=sandbox_id, container_id=container_id, documents=documents, raw_items=raw_items)


def _check_documents(given: dict[str, Any], where: str, layout: Layout) -> None:
    known = [rule.name for rule in layout.documents]
    for name in given:
        if name not in known:
            raise InvalidInput(f"{where}.{name}", f"{layout.name} has no such document", f"It has {', '.join(known)}.")


def _raw_items(given: dict[Any, Any], where: str, layout: Layout) -> dict[str, str]:
    """Name to text. A name is a single path component (kata-store.md K7); an empty one asks for a random name."""
    if given and not layout.raw_directory:
        raise InvalidInput(where, f"{layout.name} has no raw items, only kata_store has", "Leave it out.")
    for name, text in given.items():
        if name:
            check_known_name(as_name(name, where), where, NameRule())
        if not isinstance(text, str):
            raise InvalidInput(f"{where}.{name}", f"it is a {type(text).__name__}, not a text", "Quote it.")
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{where}.{name}", "it is not valid Unicode", "Give another text.") from error
    return given
