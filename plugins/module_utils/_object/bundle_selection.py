# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which bundles a task is about, and where these are."""

from __future__ import annotations

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_name,
    check_known_name,
    check_new_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS, NAMES, BundleLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace, BundleRoots

_DEFAULT_NAMESPACE = "default"
SELECTORS: dict[str, dict[str, Any]] = {
    "layout": {"type": "str", "required": True, "choices": list(LAYOUTS)},
    "container_id": {"type": "raw"},
    "namespace": {"type": "raw"},
    "state_root": {"type": "path"},
    "work_root": {"type": "path"},
    "path": {"type": "path"},
}
INFO_OPTIONS: dict[str, dict[str, Any]] = {**SELECTORS, "with_documents": {"type": "bool", "default": False}}


class Places:
    """The places of the namespaces that a task is about, each opened once. Raises InvalidInput for wrong options."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.layout: BundleLayout = LAYOUTS[params["layout"]]
        self._roots = roots_of(params, self.layout)
        self._places: dict[str, BundlePlace] = {}

    def of(self, namespace: str) -> BundlePlace:
        if namespace not in self._places:
            self._places[namespace] = BundlePlace(self.layout, namespace, self._roots)
        return self._places[namespace]

    def all(self) -> list[BundlePlace]:
        """One for each namespace that is there. Raises Unreadable."""
        if not self.layout.has_engine:
            return [self.of("")]
        return [self.of(name) for name in self.of("").namespaces()]


def roots_of(params: dict[str, Any], layout: BundleLayout) -> BundleRoots:
    """The directories that the user named. Raises InvalidInput for those that the layout has not."""
    for option in ("state_root", "work_root") if not layout.has_engine else ("path",):
        if params[option] is not None:
            raise InvalidInput(option, f"{layout.name} has no such directory", "Leave it out.")
    if not layout.has_engine and params["path"] is None:
        raise InvalidInput("path", f"{layout.name} needs the directory that has the bundles", "Give path.")
    if not layout.has_engine and params["namespace"] is not None:
        raise InvalidInput("namespace", f"{layout.name} has no namespaces", "Leave it out.")
    return BundleRoots(params["host_root"], params["state_root"], params["work_root"], params["path"])


def namespace_of(value: Any, option: str, layout: BundleLayout, creating: bool) -> str:
    """The namespace that is meant; empty where the layout has none. Raises InvalidInput."""
    if not layout.has_engine:
        return ""
    name = _DEFAULT_NAMESPACE if value is None else as_name(value, option)
    return (check_new_name if creating else check_known_name)(name, option, NAMES)
