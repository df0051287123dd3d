# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of runtimes that nothing on disk knows any more (field problems 18, 28, 33, 42; safety.md E2)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import (
    Process,
    describe,
    read,
    started_at,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate, Known
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_OF_A_MACHINE = ("vmm", "virtiofsd", "nydusd")  # roles that others' programs have as well
_VMM = re.compile(r"qemu-system-.*|qemu|cloud-hypervisor|firecracker|stratovirt")
_VMM_NAME = r"sandbox-(.+?)(?:,.*)?"  # qemu -name sandbox-<sid>
_VMM_PATH = r"(?:^|[:=,])(/run/(?:vc/vm|vc/firecracker|kata/firecracker(?=/[^/,]+/root/)|kata)/([^/,]+))/"
_CUT = 32  # of an id is what Firecracker is told (safety.md A8)
# Engines and runtimes, which are at work on what they name; others that name it own nothing.
_AT_WORK = r"runsc|runc|crun|kata-(?:runtime|shim)|ctr|crictl|nerdctl|docker|podman|crio|kubelet|containerd"
# The units in which engines leave what they start: no sign that somebody else has started it.
_ENGINE_UNITS = r"(?:containerd|docker|crio|cri-o|podman|kubelet|k3s.*|rke2.*|snap\.microk8s\..*|user@\d+)\.service"
# By which a VM factory is known, whose machines no sandbox has yet (safety.md D5).
_FACTORY = ("/run/vc/vm/template", "/var/run/kata-containers/cache.sock")


class Role(NamedTuple):
    """What a process is: its program's role, the id that its arguments name, and all of them where there are more."""

    role: str
    sandbox_id: str
    also: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        return (self.also | {self.sandbox_id}) - {""}


def on_disk(known: Known, role: Role) -> str:
    """The id under which something of a process's sandbox is on disk, or empty. Firecracker is told a part."""
    cut = _cut_ids(known.ids)
    return next((one for one in sorted(role.ids) if one in known.ids or one in cut), "")


@lru_cache(maxsize=4)
def _cut_ids(ids: frozenset[str]) -> frozenset[str]:
    return frozenset(one[:_CUT] for one in ids)


def role_of(process: Process) -> Role | None:
    """What a process of a runtime is by its arguments; None: it is none, or belongs to nobody in particular."""
    program = os.path.basename(process.exe or "")
    if process.program.startswith("containerd-shim"):
        sandbox_id = option_of(process.argv, "id")
        return Role("shim", sandbox_id) if sandbox_id and "delete" not in process.argv[1:] else None
    if process.program == "runsc-sandbox":
        return Role("runsc-sandbox", process.argv[-1]) if len(process.argv) > 1 else None
    if "virtiofsd" in (program + process.program) and (role := _virtiofsd_of(process, program)) is not None:
        return role
    if _VMM.fullmatch(program) or _VMM.fullmatch(process.program):
        return _machine_of(process.argv)
    if "nydusd" in (program, process.program):  # a snapshotter's serves no machine
        served = _machine_of(process.argv)
        return served._replace(role="nydusd") if served.sandbox_id else None
    return None


def _virtiofsd_of(process: Process, program: str) -> Role | None:
    """Which sandbox a virtiofsd serves. Most hosts have none, and do without what knows its command lines."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import read_command_line
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_origin import (
        is_virtiofsd,
        sandbox_of,
    )

    if not (is_virtiofsd(program) or is_virtiofsd(process.program)):
        return None
    seen = read_command_line(process.argv)
    both = (sandbox_of((seen.shared_dir,)), sandbox_of((seen.socket_path,)))
    return Role("virtiofsd", both[0] or both[1], frozenset(both))


def _machine_of(argv: tuple[str, ...]) -> Role:
    """The sandbox whose machine a VMM runs, by paths of Kata's; without an id where there is none."""
    paths = [match[2] for argument in argv for match in re.finditer(_VMM_PATH, argument)]
    named = re.fullmatch(_VMM_NAME, option_of(argv, "name"))
    if named and paths:
        paths.insert(0, named[1])
    return Role("vmm", paths[0] if paths else "", frozenset(paths))


class ProcessCandidate(Candidate):
    """A process whose sandbox has nothing on disk. known: what is on disk, by a look at the host."""

    kind = "process"

    def __init__(self, process: Process, role: Role, known: Callable[[HostView], Known]) -> None:
        self.process, self.role, self._known = process, role, known
        self.name = role.sandbox_id or str(process.pid)

    def _names(self) -> frozenset[str]:
        return self.role.ids

    def _paths(self) -> list[str]:
        return []

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return (self.kind, "", "", self.name, str(self.process.pid))

    def _identity(self) -> dict[str, int]:
        return {"pid": self.process.pid, "start": self.process.start_ticks}

    def _changed(self, facts: Sequence[FileFacts]) -> float | None:
        return started_at(self.process)

    def foreign(self) -> str:
        if self.role.role not in _OF_A_MACHINE:
            return ""
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import read_command_line
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_origin import product_of

        product = product_of(read_command_line(self.process.argv), self.process.cgroups)
        if not self.role.sandbox_id:
            return f"it belongs to {product}" if product else "it names nothing of a sandbox"
        return f"it belongs to {product}" if product and not re.fullmatch(_ENGINE_UNITS, product) else ""

    def _read(self, view: HostView, held: bool) -> bool:
        now = read(self.process.pid)
        if now is not None and now.state == "?":
            raise Unreadable(describe(self.process), "what it is now cannot be read", "Run as root.")
        return now is not None and now.start_ticks == self.process.start_ticks and not now.dead

    def evidence(self, view: HostView) -> Evidence:
        sandbox_id = self.role.sandbox_id
        known = self._known(view)
        found = on_disk(known, self.role)
        if found:
            return Evidence(owners=(f"sandbox {found}, which it serves, is on disk",))
        shims, others = self._beside(view)
        owners = tuple(f"{describe(shim)} serves sandbox {sandbox_id}" for shim in shims)
        suspects = [f"{describe(one)} names sandbox {sandbox_id}" for one in others]
        suspects += ["it may be about to begin or to end a container"] if self.role.role == "shim" else []
        unknown = (*self._unseen(view), *known.problems)
        dead = (f"nothing on disk knows sandbox {sandbox_id}, and no shim serves it",)
        return Evidence(owners, tuple(suspects), unknown, dead, view.blind)

    def _beside(self, view: HostView) -> tuple[list[Process], list[Process]]:
        """The shims of its sandbox, and commands at work on it."""
        shims: dict[int, Process] = {}
        others: dict[int, Process] = {}
        for one in view.processes.by_pid.values():
            told = option_of(one.argv, "id") if _is_shim(one) else ""
            if told and {told, told[:_CUT]} & self.role.ids:
                shims[one.pid] = one
        for name in sorted(self.role.ids):
            for mention in view.processes.carrying(name):
                one = mention.process
                if _is_shim(one):
                    shims[one.pid] = one
                elif role_of(one) is None and re.fullmatch(_AT_WORK, one.program):
                    others[one.pid] = one
        parent = view.processes.by_pid.get(self.process.ppid)
        if parent is not None and _is_shim(parent):
            shims[parent.pid] = parent
        shims.pop(self.process.pid, None)
        return list(shims.values()), list(others.values())

    def _unseen(self, view: HostView) -> Iterator[str]:
        """Why what it works on may lie where this look at the host does not come: then its absence proves nothing."""
        if not self.process.complete:
            yield "what it is cannot be read"
        if not view.in_initial_mount_namespace:
            yield "this task does not run in the host's own mount namespace, so what lies there is not seen"
        pids = view.namespace_pids(self.process.pid)
        # Its own, in which runsc and jailers make it pid 1, is none.
        if pids is None or len(pids) > 2 or (len(pids) == 2 and pids[-1] != 1):
            yield "it was started in a container, where its paths may mean something else"
        if self.role.role == "runsc-sandbox":
            root = option_of(self.process.argv, "root")
            if self.process.root != "/" or not root.startswith("/") or not os.path.isdir(root):
                yield f"its root directory {root or '(none is named)'} is not seen here"
            elif _may_name(root, self.role.sandbox_id):  # one that is not looked through: others can write there
                yield f"there are files of it in {root}, which is its root directory"
        if self.role.role in _OF_A_MACHINE:
            yield from self._of_a_factory()

    def _of_a_factory(self) -> Iterator[str]:
        """Why it may be a VM factory's: such a machine has a name of its own, and a sandbox's directory is a link."""
        named = dict.fromkeys(match[1] for word in self.process.argv for match in re.finditer(_VMM_PATH, word))
        yield from (f"{path}, which it names, is on disk" for path in named if _may_exist(path))
        yield from (f"{path} is there, and it may be a machine of that" for path in _FACTORY if _may_exist(path))


def _may_name(directory: str, sandbox_id: str) -> bool:
    """Whether anything in a directory is called after a sandbox, or it cannot be told."""
    try:
        return any(sandbox_id in name for name in os.listdir(directory))
    except OSError:
        return True


def _may_exist(path: str) -> bool:
    """Whether there is something at a path, or it cannot be told."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _is_shim(process: Process) -> bool:
    """Of an engine's; conmon is one for CRI-O and Podman."""
    return process.program.startswith(("containerd-shim", "docker-containerd-shim", "conmon")) and not process.dead


def find(view: HostView, own: Collection[int], known: Callable[[HostView], Known]) -> Iterator[ProcessCandidate]:
    """The processes of runtimes that no object on disk accounts for. own: pids of daemons that have a record."""
    for process in sorted(view.processes.by_pid.values(), key=lambda one: one.pid):
        role = role_of(process) if not process.dead and process.pid not in own else None
        if role is None or on_disk(known(view), role):
            continue
        parent = view.processes.by_pid.get(process.ppid)
        if parent is not None and parent.argv == process.argv:
            continue  # a child of virtiofsd's, which ends with it
        yield ProcessCandidate(process, role, known)


def serving(view: HostView) -> dict[str, str]:
    """The processes that serve a sandbox, in a sentence, by the ids that they name; of Firecracker's by the cut one."""

    def look() -> dict[str, str]:
        found: dict[str, str] = {}
        for process in view.processes.by_pid.values():
            role = role_of(process) if not process.dead else None
            for one in role.ids if role is not None else ():
                found.setdefault(one, f"{describe(process)} serves it")
        return found

    return view.once("serving", look)


def who_serves(view: HostView, one: Candidate) -> str:
    """A process that serves the sandbox to which an object belongs, in a sentence; empty where there is none."""
    if one.kind == "process":
        return ""
    served = serving(view)
    return next((served[name] for full in sorted(one.names) for name in (full, full[:_CUT]) if name in served), "")


def whole_names(names: Collection[str], listed: Collection[str], view: HostView) -> set[str]:
    """These ids that processes name, and of the listed ones those of which one is the beginning (safety.md A8)."""
    whole = view.once("listed ids by their beginning", lambda: {one[:_CUT]: one for one in listed})
    return {*names, *(whole[name] for name in names if name in whole)}


def engines(view: HostView) -> list[str]:
    """The engines and kubelets that run, in words (safety.md A3)."""
    programs = ("containerd", "dockerd", "crio", "kubelet", "k3s", "k3s-server", "k3s-agent", "rke2", "kubelite")
    return [describe(one) for one in view.processes.by_pid.values() if one.program in programs and not one.dead]
