# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host, for one decision: files first, processes after them, mounts and sockets last (safety.md B4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import InTheWay, MountSurvey
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import ProcessTable
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import Listeners

_Fact = TypeVar("_Fact")
NOT_ALL_SEEN = "not all processes are visible"


class HostView:
    """What a host shows at one time. Each part is looked at once, when it is first asked for.

    Callers read their files before they ask for processes, and decide on one view alone: a decision that is taken
    again is taken from a new view.
    host_root: the tree that is examined. sees_all_processes: the user's assertion, None when it is to be worked out.
    """

    def __init__(self, host_root: str = "/", sees_all_processes: bool | None = None) -> None:
        self._host_root = host_root
        self._asserted = sees_all_processes
        self._facts: dict[Any, Any] = {}

    def again(self) -> HostView:
        """Another look at the same host, which has seen nothing yet."""
        return HostView(self._host_root, self._asserted)

    def once(self, key: Any, look: Callable[[], _Fact]) -> _Fact:
        """The result of `look`, taken once in this view.

        key: what it is of; an object itself and never its id(), which the next one gets once this one is gone.
        """
        if key not in self._facts:
            try:
                self._facts[key] = look()
            except OSError as error:
                raise Unreadable(error.filename or "/proc", os_reason(error)) from error
        result: _Fact = self._facts[key]
        return result

    @property
    def processes(self) -> ProcessTable:
        found: ProcessTable | None = self._facts.get("processes")  # asked for several times for each object
        if found is not None:
            return found
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import ProcessTable

        return self.once("processes", ProcessTable.scan)

    def namespace_pids(self, pid: int) -> tuple[int, ...] | None:
        """The numbers that a process has in each pid namespace, from ours inwards; None when they cannot be read."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import namespace_pids

        return self.once(("namespace pids", pid), lambda: namespace_pids(pid))

    def uids(self, pid: int) -> frozenset[int] | None:
        """All user ids of a process; None when they cannot be read."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import user_ids

        return self.once(("uids", pid), lambda: user_ids(pid))

    def environment(self, pid: int) -> dict[str, str]:
        """The variables that a process was started with. Raises Unreadable."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import environment

        return self.once(("environment", pid), lambda: environment(pid))

    def mount_namespace(self, pid: int | None = None) -> str | None:
        """The mount namespace of a process, or of this task; None when it cannot be read."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import mount_namespace

        return self.once(("mount namespace", pid), lambda: mount_namespace("self" if pid is None else str(pid)))

    @property
    def mounts(self) -> MountSurvey:
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import MountSurvey

        return self.once("mounts", MountSurvey.read)

    def mounts_in(self, path: str) -> list[InTheWay]:
        """What is mounted at or below a path. Most directories of a host have no mount at all in them, which is told
        once for all that is in one."""
        above = path.rpartition("/")[0] or "/"
        if self.once(("free of mounts", above), lambda: self.mounts.is_free(above)):
            return []
        return self.mounts.in_the_way(path)

    @property
    def own_mounts(self) -> MountTable:
        """What is mounted in this task's own namespace alone: of the others there may be thousands."""
        survey: MountSurvey | None = self._facts.get("mounts")
        if survey is not None:
            return survey.own
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable

        return self.once("own mounts", MountTable.read)

    @property
    def in_initial_mount_namespace(self) -> bool:
        """Whether this task runs in pid 1's mount namespace, as far as that can be told (safety.md D3)."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import (
            in_initial_mount_namespace,
        )

        return self.once("mount namespace", in_initial_mount_namespace) is True

    @property
    def locked(self) -> frozenset[int]:
        """Inode numbers on which somebody holds a lock, for a closer look."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import locked_inodes

        return self.once("locked", locked_inodes)

    @property
    def sockets(self) -> Listeners:
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import listeners

        return self.once("sockets", listeners)

    @property
    def asserted(self) -> bool:
        """Whether the user asserts that all processes that could own the tree are seen."""
        return self._asserted is True

    @property
    def blind(self) -> str:
        """Why the absence of processes proves nothing here (A2), or empty when all of them are seen."""
        if self._asserted is not None:
            return "" if self._asserted else "sees_all_processes=false says that some processes are not visible here"
        if self._host_root != "/":
            return f"host_root {self._host_root} may be another host's tree (sees_all_processes=true asserts otherwise)"
        return self.once("blind", self._hidden_processes)

    def blind_to(self, pid_namespace: str) -> str:
        """The same for processes that were started in one pid namespace: whoever is in it sees them all."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host

        if self._asserted is None and self.once("pid namespace", host.pid_namespace) == pid_namespace:
            return ""
        return self.blind

    def _hidden_processes(self) -> str:
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import sight
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe

        seen = sight()
        if not seen.all:
            return f"{NOT_ALL_SEEN} here: {seen.why_not}"
        # init owns no sandbox, and a security module or a capability of its own may guard it even from root
        hidden = [process for process in self.processes.incomplete if process.pid != 1]
        return f"not all processes can be read: {describe(hidden[0])}" if hidden else ""
