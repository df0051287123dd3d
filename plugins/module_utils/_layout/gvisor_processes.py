# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes belong to a gVisor sandbox: read off real runsc 20221219 and 20240729, and containerd's shims.

runsc-sandbox --root=<root> … boot … --bundle=<bundle> … <sandbox id>     the id is its last argument
runsc-gofer --root=<root> … gofer --bundle <bundle> …                    carries no id, only the bundle
runsc --root <root> … create|start|run|delete|… <container id>           a command at work
containerd-shim-runsc-v1 -namespace <ns> -id <sandbox id> …              serves a pod, its root ends in <ns>
"""

from __future__ import annotations

import os

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.process_tokens import cgroup_tokens
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim, Reading, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of

# Stopped in this order: a command that ran on would clean up, or start again, beside us.
_STOP_ORDER = {"runsc": 0, "runsc-sandbox": 1, "runsc-gofer": 2}
# Told in this order: the sandbox itself is what a user looks for.
_RANK = {"runsc-sandbox": 0, "runsc": 1, "runsc-gofer": 2}
_BUILDING = {"create", "run", "start", "restore"}  # their last argument is the container
_ASK_ENGINE = "Remove the container with its engine (ctr, crictl, docker), whose shim still serves it."
_BY_HAND = "Its state does not record it: find out what it is, and stop it by hand."


def claim(
    process: Process,
    pids: tuple[int, ...] | None,
    roots: Roots,
    reading: Reading,
    recorded: set[int],
    anybodys: bool = False,
) -> Claim | None:
    """What a process has to do with the sandbox that was read from the root directory; None: nothing.

    pids: its number in each pid namespace. recorded: the pids that the states name. anybodys: the state does not tell
    whose it is, so that any sandbox of the root directory may be its owner.
    """
    kind = _kind(process)
    if kind.startswith("containerd-shim"):
        return _claim_of_shim(process, roots["run_root"], reading)
    why = _why(kind, process.argv, reading)
    if not why and anybodys and kind == "runsc-sandbox":
        why = "runs in this root directory, and the state does not tell whose it is"
        return None if _works_in(process, pids, kind, roots) is False else Claim(process, False, why, _RANK[kind])
    if not why:
        return _claim_by_cgroup(process, reading)
    place = _works_in(process, pids, kind, roots)
    if place is False:
        return None
    if place is None:
        return Claim(process, False, "names it, and it cannot be told in which root directory", _RANK[kind])
    return _claim_of_kind(kind, process, why, reading, recorded)


def _claim_of_kind(kind: str, process: Process, why: str, reading: Reading, recorded: set[int]) -> Claim:
    """A process of this root directory that names the sandbox: what exactly its arguments prove (safety.md E1)."""
    if kind == "runsc":
        building = bool(_BUILDING & set(process.argv)) and process.argv[-1] in ids_of(reading)
        order = _STOP_ORDER[kind] if building else None
        return Claim(process, building, why, _RANK[kind], order, "" if building else _BY_HAND)
    known = process.pid in recorded
    if kind == "runsc-gofer":  # two containers may share a bundle, and a gofer carries no name
        return Claim(process, known, why, _RANK[kind], _STOP_ORDER[kind] if known else None, _BY_HAND)
    stoppable = known or not recorded  # where a sandbox is recorded, it is that one or a stranger
    return Claim(process, True, why, _RANK[kind], _STOP_ORDER[kind] if stoppable else None, _BY_HAND)


def _kind(process: Process) -> str:
    """The program in runsc's own words. Its children run /proc/self/exe, so argv[0] says more than the executable."""
    executable = os.path.basename(process.exe or "")
    if process.program in _RANK or process.program.startswith("containerd-shim"):
        return process.program
    if executable.startswith("containerd-shim"):
        return executable
    return "runsc" if executable.startswith("runsc") or process.program.startswith("runsc") else process.program


def _why(kind: str, argv: tuple[str, ...], reading: Reading) -> str:
    """Why the arguments of a runsc process mean this sandbox, or empty. Ids are whole arguments, never parts (A8)."""
    if kind == "runsc-gofer":
        return "serves its files" if option_of(argv, "bundle") in bundles(reading) else ""
    if kind == "runsc-sandbox":
        return "runs it" if argv[-1:] == (reading.sandbox_id,) else ""
    return "is at work on it" if kind == "runsc" and ids_of(reading) & set(argv[1:]) else ""


def ids_of(reading: Reading) -> set[str]:
    """The names of the sandbox and of its containers."""
    return {reading.sandbox_id} | {part.container_id for part in reading.parts}


def bundles(reading: Reading) -> set[str]:
    """The bundle directories that the states name."""
    contents = [document.content for document in reading.documents]
    return {content["bundleDir"] for content in contents if content and isinstance(content.get("bundleDir"), str)}


def bundle_of(process: Process) -> str:
    """The bundle that a runsc process was started for, or empty."""
    return option_of(process.argv, "bundle")


def _works_in(process: Process, pids: tuple[int, ...] | None, kind: str, roots: Roots) -> bool | None:
    """Whether a runsc process works in our root directory: by its identity, since links and binds have many names.

    None when that cannot be told: no --root is given, or its path means something else than here, because the process
    was started inside a container.
    """
    named = option_of(process.argv, "root")
    if not named.startswith("/") or _is_nested(pids, kind):
        return None
    return True if named == roots["run_root"].path else roots.is_root(named, "run_root")


def _is_nested(pids: tuple[int, ...] | None, kind: str) -> bool:
    """Whether it was started in another pid namespace than ours; its own, in which runsc makes it pid 1, is none."""
    if pids is None:
        return True
    return len(pids) > 1 and (kind == "runsc" or len(pids) > 2 or pids[-1] != 1)


def _claim_of_shim(process: Process, root: Directory, reading: Reading) -> Claim | None:
    """A shim that serves this sandbox. Its root directory is <engine's>/runsc/<namespace> (gvisor.md, Paths)."""
    if option_of(process.argv, "id") != reading.sandbox_id:
        return None
    namespace = option_of(process.argv, "namespace")
    proved = bool(namespace) and os.path.basename(root.path) == namespace
    return Claim(process, proved, "serves its pod", remedy=_ASK_ENGINE)


def _claim_by_cgroup(process: Process, reading: Reading) -> Claim | None:
    """A cgroup that carries the id and holds a process may be the sandbox's (safety.md A7)."""
    for path in process.cgroups:
        if ids_of(reading) & cgroup_tokens(path):
            return Claim(process, False, f"is in the cgroup {path}, which carries its name", len(_RANK))
    return None
