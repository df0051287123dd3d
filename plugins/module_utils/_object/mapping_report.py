# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mapping looks like to a reader, and what Kata's command line asks before it creates a container."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import age_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_names,
    check_known_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import NAMES
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_root import MappingRoot
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

INFO_OPTIONS: dict[str, dict[str, Any]] = {
    "container_id": {"type": "raw"},
    "root": {"type": "path"},
    "bundle": {"type": "path"},
}
_WORDS = {
    "none": "it leads to no sandbox: its runtime was killed between two steps, and refuses the container now",
    "several": "it leads to several sandboxes, and its runtime refuses the container now",
}


def report_all(params: dict[str, Any], view: HostView) -> list[dict[str, Any]]:
    """The entries of all selected mappings. Raises StateError."""
    root = MappingRoot(params["host_root"], params["root"])
    if params["container_id"] is None:
        ids = root.ids()
    else:
        given = as_names(params["container_id"], "container_id", NAMES)
        ids = [check_known_name(name, "container_id", NAMES) for name in given]
    stores = [Tree(layout, params["host_root"], {}) for layout in LAYOUTS.values()]
    return [_entry(root, container_id, stores, view) for container_id in ids]


def _entry(root: MappingRoot, container_id: str, stores: list[Tree], view: HostView) -> dict[str, Any]:
    path = root.directory.join(container_id)
    try:
        found = root.read(container_id)
    except StateError as error:
        known = {"container_id": container_id, "exists": True, "path": path}
        return {**known, "state": "unreadable", "problem": str(error)}
    entry = {"container_id": container_id, "exists": found.facts is not None, "state": found.state, "path": path}
    if found.facts is None:
        return entry
    problem = (
        f"{', '.join(found.strange)} in it is no empty directory" if found.strange else _WORDS.get(found.state, "")
    )
    return {
        **entry,
        "sandbox_id": found.sandbox_id or None,
        "sandboxes": [_sandbox(name, stores, view) for name in found.entries],
        "age": age_of(found.facts.ctime_ns / 1e9),
        **({"problem": problem} if problem else {}),
    }


def _sandbox(name: str, stores: list[Tree], view: HostView) -> dict[str, Any]:
    """A sandbox that is named, and the layouts in which it has a state."""
    layouts = [tree.layout.name for tree in stores if name in tree.names(view)]
    return {"sandbox_id": name, "layouts": layouts}


def bundle_check(params: dict[str, Any]) -> dict[str, Any]:
    """What the old command line asks of a bundle's path before it creates a container. Raises InvalidInput for none."""
    path = params["bundle"]
    if not path:
        raise InvalidInput("bundle", "it is empty", "Give the path of the bundle.")
    try:
        roots = Roots(params["host_root"], {})
        with roots.open(os.path.abspath(path)) as directory:
            resolved = directory.path if directory.exists else None
        there = not resolved and roots.may_exist(os.path.abspath(path))
        none = "it is no directory, or a link that leads to none" if there else "it does not exist"
        problem = "" if resolved else none
    except StateError as error:  # links that lead round or out, and what may not be looked at
        resolved, problem = None, str(error)
    return {
        "path": path,
        "is_directory": resolved is not None,
        "resolved": resolved,
        **({"problem": problem} if problem else {}),
    }


def in_words(entries: list[dict[str, Any]]) -> str:
    """The summary in words."""
    there = [entry for entry in entries if entry["exists"]]
    text = f"{len(there)} mapping{'' if len(there) == 1 else 's'}."
    if len(entries) > len(there):
        text += f" {len(entries) - len(there)} not there."
    told = ((entry["container_id"], entry.get("problem") or _without_state(entry)) for entry in there)
    for container_id, problem in [one for one in told if one[1]][:5]:
        text += f" {container_id}: {problem.rstrip('.')}."
    return text


def _without_state(entry: dict[str, Any]) -> str:
    """That a mapping leads to a sandbox which is not on disk; empty where that is not so."""
    gone = next((one["sandbox_id"] for one in entry["sandboxes"] if not one["layouts"]), "")
    return f"it leads to sandbox {gone}, which has a state in no layout" if gone else ""
