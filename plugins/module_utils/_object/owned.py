# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An object that processes may own: it is changed only where the verdict allows that, the same for every kind."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Stop
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import Hidden
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Owners, Verdict

_STOP_FIRST = "Stop the container first. Nothing was changed."
_STOP_FIRST_OR_HERE = "Stop the container first, or set stop_processes=true to stop it here."
_FOLLOW_SECONDS, _FOLLOW_INTERVAL = 2.0, 0.02


class Terms(Protocol):
    """What a wish says of owners. present: it is to be there; force: unknown is enough; stop_processes: end them."""

    @property
    def present(self) -> bool: ...

    @property
    def force(self) -> bool: ...

    @property
    def stop_processes(self) -> bool: ...


class OwnedItem(Item):
    """One thing that has owners. terms: what the user allows. owners: those that were found last.

    hidden: what has a hidden name, until it is removed or brought back. acted_before: whether anything was changed
    before that, which stays.
    """

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self.terms = terms
        self.forced = terms.force
        self.owners: Owners | None = None
        self.hidden: list[Hidden] = []
        self.acted_before = False
        self.going: frozenset[str] = frozenset()  # suspicions that the same task removes before this, see plan()

    @abstractmethod
    def look_for_owners(self, view: HostView) -> Owners:
        """Who owns it, by what was read last and what this view shows."""

    @abstractmethod
    def written_ns(self) -> list[int]:
        """When the records of it were written last, in nanoseconds of the epoch (safety.md E1)."""

    def shared_with(self) -> str:
        """Why its owners cannot be ended for it alone, and what to do; empty where they can."""
        return ""

    def refuse_unless_dead(self, view: HostView, creating: bool) -> list[Stop]:
        """Raise unless the verdict allows a change; the owners that must be stopped first.

        Something new needs less than a change: where nothing is on disk, only signs of an owner stand in the way.
        """
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LIVE, judge

        self.owners = self._without_what_goes(self.look_for_owners(view))
        evidence = self.owners.evidence
        if creating:
            evidence = evidence._replace(blind="")
        verdict = judge(evidence)
        if verdict.kind != LIVE:
            self.refuse_doubts(verdict)
            return []
        if self.terms.present:
            raise self._in_use(verdict, _STOP_FIRST)
        if not self.terms.stop_processes:
            engines = [claim.remedy for claim in self.owners.proved if claim.stop_order is None]
            raise self._in_use(verdict, engines[0] if engines else _STOP_FIRST_OR_HERE)
        return self._stops(verdict)

    def _without_what_goes(self, owners: Owners) -> Owners:
        """In the first plan, what goes before this counts as gone; under the lock it must be."""
        if not self.going or self.locks:
            return owners
        left = tuple(one for one in owners.evidence.suspects if one not in self.going)
        return owners._replace(others=left, evidence=owners.evidence._replace(suspects=left))

    def _stops(self, verdict: Verdict) -> list[Stop]:
        """The owners to be ended; raises where one of them is not to be ended for this object alone."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import judge

        shared = self.shared_with()
        if shared:
            raise self._in_use(verdict, shared)
        if self.owners is None or not self.owners.proved:
            raise self._in_use(verdict, "End who listens there first.")
        evidence = self.owners.evidence
        self.refuse_doubts(judge(evidence._replace(owners=(), suspects=self.owners.others)))
        return removal.stops_for(self.label, self.owners.proved, self.written_ns())

    def refuse_doubts(self, verdict: Verdict) -> None:
        """Raise NotProved where the verdict is unknown and the user has not said that this is enough."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER

        if verdict.kind != LEFTOVER and not self.terms.force:
            raise NotProved(
                "",
                f"it may still have an owner: {'; '.join(verdict.reasons)}",
                "Run as root if you did not; set force=true only if you know that it is dead. Nothing was removed.",
            )

    def _in_use(self, verdict: Verdict, remedy: str) -> InUse:
        return InUse(f"{self.label} is in use", "; ".join(verdict.reasons), remedy)

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Stop

        stops = [change for change in plan.changes if isinstance(change, Stop)]
        if not stops or self.owners is None:
            return
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LIVE

        self.acted = removal.stop_all(stops, self.owners.proved) or self.acted
        verdict = self._verdict_after_them(new_view)
        if verdict.kind == LIVE:
            raise self._in_use(verdict, "Nothing was removed.")
        self.refuse_doubts(verdict)

    def _verdict_after_them(self, new_view: Callable[[], HostView]) -> Verdict:
        """What shares the socket of an ended process follows it a moment later: gVisor's stubs and gofers do."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LIVE, judge

        deadline = time.monotonic() + _FOLLOW_SECONDS
        while True:
            view = new_view()
            self.read(view)
            verdict = judge(self.look_for_owners(view).evidence)
            if verdict.kind != LIVE or time.monotonic() > deadline:
                return verdict
            time.sleep(_FOLLOW_INTERVAL)

    # what can be taken back

    def unmount_first(self, plan: Plan) -> None:
        """Make the plan's unmounts, and look that nothing has stayed mounted there. Raises Mounted."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Unmount

        for change in plan.changes:
            if isinstance(change, Unmount):
                from ansible_collections.sandboxed.containers.plugins.module_utils._basis.unmounting import unmount_all
                from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal

                self.acted = bool(unmount_all(change.path, any_namespace=change.anywhere)) or self.acted
                removal.refuse_still_mounted(change.path)

    def confirm(self, view: HostView) -> None:
        """The runtime may have come between the last look and the rename, since few of its steps take the lock (C2):
        then what was hidden gets its name back, as it does where that cannot be told."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, LIVE, judge

        try:
            verdict = judge(self.look_for_owners(view).evidence)
            if verdict.kind == LEFTOVER or (verdict.kind != LIVE and self.terms.force):
                return
            raise self._in_use(verdict, "It was put back.")
        except StateError:
            self.bring_back()
            self.acted = self.acted_before
            raise

    def bring_back(self) -> None:
        """Give what was hidden its name again. Raises StateError."""
        hidden, self.hidden = self.hidden, []
        for one in reversed(hidden):
            one.bring_back()

    def did(self, directory: Directory) -> None:
        """Note a change that was made in a directory."""
        self.acted = True
        self.touched.add(directory)
