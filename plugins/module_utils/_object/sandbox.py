# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox's state as an object: what is wished of it, and whether its owners allow that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_new_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    DocumentRule,
    Part,
    Reading,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.owned import OwnedItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Write
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import Hints
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Owners


class Wish(NamedTuple):
    """What the user wants of one sandbox, or of one container in it (container_id not empty).

    raw_items: name to text. with_sandbox: the same task wants the sandbox of this container as well.
    """

    sandbox_id: str
    container_id: str = ""
    present: bool = True
    documents: Mapping[str, Any] = MappingProxyType({})
    raw_items: Mapping[str, str] = MappingProxyType({})
    fail_if_exists: bool = False
    unmount: bool = False
    force: bool = False
    stop_processes: bool = False
    with_sandbox: bool = False


class SandboxState(OwnedItem):
    """One sandbox, or one container of it, in one layout. Subclasses know how it lies on disk."""

    def __init__(self, wish: Wish, tree: Tree) -> None:
        super().__init__(wish)
        self.wish = wish
        self.tree = tree
        self.reading = Reading(wish.sandbox_id)
        self.group = wish.sandbox_id
        # A sandbox is made before its containers, and removed after them.
        self.order = int(bool(wish.container_id) == wish.present)
        self._hints: Hints | None = None
        self._paths: list[str] = []
        inside = f"Container '{wish.container_id}' of sandbox" if wish.container_id else "Sandbox"
        self.label = f"{inside} '{wish.sandbox_id}' ({tree.layout.name})"

    @property
    @abstractmethod
    def parts(self) -> list[Part]:
        """What is on disk of the object that the wish is about."""

    @abstractmethod
    def usual_paths(self) -> list[str]:
        """Where it would be if it were there."""

    @abstractmethod
    def plan_present(self, view: HostView) -> Plan:
        """See Item.plan."""

    @abstractmethod
    def plan_absent(self, view: HostView) -> Plan:
        """See Item.plan."""

    def plan(self, view: HostView) -> Plan:
        plan = self.plan_present(view) if self.wish.present else self.plan_absent(view)
        if not self._paths:  # the first plan tells, so that check mode and the run say the same
            paths = [part.path for part in self.parts]
            self._paths = list(dict.fromkeys([*paths, *_paths_of(plan)])) if plan.changes else paths
        return plan

    def described(self) -> dict[str, Any]:
        """What identifies it in the list of outcomes. paths: what it had, and what it was to have."""
        paths = self._paths or [part.path for part in self.parts] or self.usual_paths()
        inside = {"container_id": self.wish.container_id} if self.wish.container_id else {}
        return {"sandbox_id": self.wish.sandbox_id, **inside, "layout": self.tree.layout.name, "paths": paths}

    # documents

    def check_creation(self) -> None:
        """InvalidInput for a name that something new cannot have, or where its documents are missing."""
        names = self.tree.layout.names
        check_new_name(self.wish.sandbox_id, "sandbox_id", names)
        check_new_name(self.wish.container_id or self.wish.sandbox_id, "container_id", names)
        missing = [rule.name for rule in self.needed_documents() if rule.name not in self.wish.documents]
        if missing:
            raise InvalidInput(
                "", "it does not exist, and there is nothing to make it from", f"Give documents.{missing[0]}."
            )

    def needed_documents(self) -> list[DocumentRule]:
        """What something new of this kind must have."""
        inner = bool(self.wish.container_id)
        return [
            rule for rule in self.tree.layout.documents if rule.needed and (rule.container if inner else rule.sandbox)
        ]

    def write_of(
        self, rule: DocumentRule, old: Document | None, directory: Directory, name: str, container_id: str
    ) -> Write | None:
        """The change that brings one document to what is wished; None where it already means the same."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Write

        wanted = self.wish.documents[rule.name]
        self.tree.layout.check_document(rule.name, wanted, self.wish.sandbox_id, container_id)
        before = old.content if old is not None else None
        if old is not None and not old.problem and go_json.same(before or [] if rule.is_list else before, wanted):
            return None
        data = self.tree.layout.encode(rule, wanted, container_id)
        return Write(rule.name, directory, name, data, rule.mode, old is not None, before, wanted)

    def damage(self, container_id: str) -> str:
        """What is wrong with documents that the user did not give, and that are therefore left as they are."""
        own = [document for document in self.reading.documents if document.container_id == container_id]
        return " ".join(
            f"{document.path}: {document.problem}. Give documents.{document.name} to write it again."
            for document in own
            if document.problem
        )

    # owners

    def look_for_owners(self, view: HostView) -> Owners:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import (
            hints_in,
            owners_of,
        )

        layout, roots = self.tree.layout, self.tree.roots
        self._hints = hints_in(layout, roots, self.reading, self._hints)
        return owners_of(layout, roots, self.reading, view, self._hints, asks_engines=not self.wish.present)

    def written_ns(self) -> list[int]:
        return [document.facts.ctime_ns for document in self.reading.documents if document.facts is not None]

    def shared_with(self) -> str:
        others = sorted({*self.reading.containers} - {self.wish.container_id})
        if not self.wish.container_id or not others:
            return ""
        return f"It shares these processes with {', '.join(others)}: remove the sandbox, or use the runtime."


def _paths_of(plan: Plan) -> list[str]:
    """What a plan makes, writes or removes."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Stop, Unmount

    return [change.path for change in plan.changes if not isinstance(change, (Stop, Unmount))]
