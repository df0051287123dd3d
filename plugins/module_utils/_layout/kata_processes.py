# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes belong to a Kata sandbox (kata-*.md, virtiofsd.md).

containerd-shim-kata-v2 -namespace <ns> -address <socket> … -id <sid>     serves the pod; works in its bundle
qemu-system-… -name sandbox-<sid> … -qmp unix:/run/vc/vm/<sid>/qmp.sock,… -pidfile /run/vc/vm/<sid>/pid
cloud-hypervisor --api-socket /run/vc/vm/<sid>/clh-api.sock
firecracker --id <first 32 characters> …                                  below /run/vc/firecracker/<first 32>/root
virtiofsd --shared-dir=/run/kata-containers/shared/sandboxes/<sid>/shared --fd=3     or -o source=…
kata-proxy -listen-socket unix:///run/vc/sbs/<sid>/proxy.sock … -sandbox <sid>       1.x
kata-shim -agent unix:///run/vc/sbs/<sid>/proxy.sock -container <cid> …              1.x
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.process_tokens import (
    argument_tokens,
    cgroup_tokens,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim, Reading, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of

_SHIM = "containerd-shim-kata-v2"
_ASK_ENGINE = "Remove the container with its engine (ctr, crictl), whose shim still serves it."
_COMMAND = "kata-runtime"
_BUILDING = {"create", "run", "start", "restore"}  # their last argument is the container
_WAIT = "Wait until that is done."
_BY_HAND = "Find out what it is, and stop it by hand."


class _Kind(NamedTuple):
    """A program of Kata's. why: what it does for a sandbox. rank: lowest is told first; order: of stopping."""

    program: re.Pattern[str]
    why: str
    rank: int
    order: int


# Whoever would act on its own when another one ends is stopped before that one.
_KINDS = (
    _Kind(re.compile(r"qemu-.*|qemu|cloud-hypervisor|firecracker|jailer|stratovirt|acrn-dm"), "runs its machine", 1, 2),
    _Kind(re.compile(r"virtiofsd.*|nydusd.*"), "serves its files", 2, 3),
    _Kind(re.compile(r"kata-proxy"), "is its proxy", 3, 1),
    _Kind(re.compile(r"kata-shim"), "stands for a container of it", 4, 0),
)
_OTHERS = len(_KINDS) + 1
# A path in an argument: after any of the signs that options put before one, up to what may follow it there.
_PATHS = re.compile(r"/[^,;\0]*")


class OwnPlaces(NamedTuple):
    """directories: in which an entry of the sandbox's name belongs to it. default: they are this host's usual ones, so
    that a shim, whose arguments name no directory, means them. cut: the sandbox's name as Firecracker is told it, and
    cut_directories: where an entry of that name belongs to it."""

    directories: frozenset[str]
    default: bool
    cut: str = ""
    cut_directories: frozenset[str] = frozenset()


def claim(
    process: Process, pids: tuple[int, ...] | None, roots: Roots, reading: Reading, places: OwnPlaces
) -> Claim | None:
    """What a process has to do with a sandbox; None: nothing. pids: its number in each pid namespace.

    Whoever names the sandbox may own it. Proved is a program of Kata's that names a path of this very sandbox.
    """
    program = _program(process)
    if program.startswith(_SHIM):
        return _claim_of_shim(process, pids, reading, places)
    mention = _mention(process, reading, places)
    if not mention:
        return None
    if program.startswith(_COMMAND):
        building = bool(_BUILDING & set(process.argv)) and process.argv[-1] in {reading.sandbox_id, *reading.containers}
        proved = building and places.default and not _is_nested(pids)
        return Claim(process, proved, "is at work on it" if proved else mention, 0, remedy=_WAIT)
    kind = next((kind for kind in _KINDS if kind.program.fullmatch(program)), None)
    if kind is None:
        return Claim(process, False, mention, _OTHERS)
    if _is_nested(pids) or not _names_a_path(process, roots, reading, places):
        return Claim(process, False, mention, kind.rank)
    return Claim(process, True, kind.why, kind.rank, kind.order, _BY_HAND)


def _program(process: Process) -> str:
    """The program by its own name, or by that of its file where it has given itself a title."""
    executable = os.path.basename(process.exe or "")
    known = executable.startswith(_SHIM) or any(kind.program.fullmatch(executable) for kind in _KINDS)
    return executable if known else process.program


def _mention(process: Process, reading: Reading, places: OwnPlaces) -> str:
    """How a process names the sandbox, as the end of a sentence; empty when it does not."""
    names = {reading.sandbox_id, *reading.containers, *reading.aliases, places.cut} - {""}
    for argument in process.argv:
        if names & argument_tokens(argument):
            return "names it in its arguments"
    for where, path in (("works in", process.cwd), ("has as its root", process.root)):
        if path and names & set(path.split("/")):
            return f"{where} {path}"
    for path in process.cgroups:
        if names & cgroup_tokens(path):
            return f"is in the cgroup {path}, which carries its name"
    return ""


def _claim_of_shim(process: Process, pids: tuple[int, ...] | None, reading: Reading, places: OwnPlaces) -> Claim | None:
    """A pod's shim has the sandbox's id. One that names it otherwise, at work on a delete for example, may own it."""
    serves = option_of(process.argv, "id") == reading.sandbox_id
    if serves and places.default and not _is_nested(pids) and "delete" not in process.argv[1:]:
        return Claim(process, True, "serves its pod", 0, remedy=_ASK_ENGINE)
    mention = _mention(process, reading, places)
    return Claim(process, False, mention, 0) if mention else None


def _is_nested(pids: tuple[int, ...] | None) -> bool:
    """Whether it was started in another pid namespace, where the same path is another place.

    The child that virtiofsd puts into a namespace of its own, as its pid 1, is none.
    """
    return pids is None or len(pids) > 2 or (len(pids) == 2 and pids[-1] != 1)


def _names_a_path(process: Process, roots: Roots, reading: Reading, places: OwnPlaces) -> bool:
    """Whether an argument, or its root directory, is a path below one of this sandbox's own directories."""
    texts = [*process.argv, *(path for path in (process.root, process.cwd) if path)]
    paths = [os.path.normpath(path) for text in texts for path in _PATHS.findall(text)]
    own = {reading.sandbox_id, *reading.aliases}
    for names, directories in ((own, places.directories), ({places.cut}, places.cut_directories)):
        for path in paths:
            for directory in _directories_before(path, names):
                if directory in directories or roots.is_any(directory, directories):
                    return True
    return False


def _directories_before(path: str, names: set[str]) -> list[str]:
    """For each component of a path that is one of the names: the path of the directory that has it."""
    parts = path.split("/")
    return ["/".join(parts[:at]) for at in range(2, len(parts)) if parts[at] in names]
