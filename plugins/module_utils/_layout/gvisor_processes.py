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
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, cgroup_tokens
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim, Reading

# Stopped in this order: a command that ran on would clean up, or start again, beside us.
_STOP_ORDER = {"runsc": 0, "runsc-sandbox": 1, "runsc-gofer": 2}
# Told in this order: the sandbox itself is what a user looks for.
_RANK = {"runsc-sandbox": 0, "runsc": 1, "runsc-gofer": 2}
_ASK_ENGINE = "Remove the container with its engine (ctr, crictl, docker), whose shim still serves it."


def claim(process: Process, root: Directory, reading: Reading, anybodys: bool = False) -> Claim | None:
    """What a process has to do with the sandbox that was read from `root`; None: nothing.

    anybodys: the state does not tell whose it is, so that any sandbox of the root directory may be its owner.
    """
    kind = _kind(process)
    if kind.startswith("containerd-shim"):
        return _claim_of_shim(process, root, reading)
    why = _why(kind, process.argv, reading)
    if not why and anybodys and kind == "runsc-sandbox" and _names_root(process.argv, root) is not False:
        return Claim(
            process, False, "runs in this root directory, and the state does not tell whose it is", _RANK[kind]
        )
    if not why:
        return _claim_by_cgroup(process, reading)
    place = _names_root(process.argv, root)
    if place is False:
        return None
    if place is None:
        return Claim(process, False, "names it, and it cannot be told in which root directory", _RANK[kind])
    return Claim(process, True, why, _RANK[kind], _STOP_ORDER[kind])


def _kind(process: Process) -> str:
    """The program in runsc's own words. Its children run /proc/self/exe, so argv[0] says more than the executable."""
    executable = os.path.basename(process.exe or "")
    if process.program.startswith(("runsc-", "containerd-shim")):
        return process.program
    if executable.startswith("containerd-shim"):
        return executable
    return "runsc" if process.program == "runsc" or executable.startswith("runsc") else process.program


def _why(kind: str, argv: tuple[str, ...], reading: Reading) -> str:
    """Why the arguments of a runsc process mean this sandbox, or empty. Ids are whole arguments, never parts (A8)."""
    if kind == "runsc-gofer":
        return "serves its files" if _option(argv, "bundle") in bundles(reading) else ""
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
    return _option(process.argv, "bundle")


def _names_root(argv: tuple[str, ...], root: Directory) -> bool | None:
    """Whether a runsc process works in `root`: by the identity of the directory, since links and binds have many names.

    None when that cannot be told: its directory is not found from here, or its environment decided (no --root given).
    """
    named = _option(argv, "root")
    if named == root.path:
        return True
    if not named.startswith("/"):
        return None
    try:
        theirs = os.stat(named)
        ours = os.stat(root.path)
    except FileNotFoundError as error:
        return None if error.filename == named else False  # what is not there yet is nobody's root directory
    except OSError:
        return None
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _option(argv: tuple[str, ...], name: str) -> str:
    """The value of a Go flag: -name=X, --name=X, -name X, --name X; empty when it is not given."""
    for position, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            return value if equals else "".join(argv[position + 1 : position + 2])
    return ""


def _claim_of_shim(process: Process, root: Directory, reading: Reading) -> Claim | None:
    """A shim that serves this sandbox. Its root directory is <engine's>/runsc/<namespace> (gvisor.md, Paths)."""
    if _option(process.argv, "id") != reading.sandbox_id:
        return None
    namespace = _option(process.argv, "namespace")
    proved = bool(namespace) and os.path.basename(root.path) == namespace
    return Claim(process, proved, "serves its pod", remedy=_ASK_ENGINE)


def _claim_by_cgroup(process: Process, reading: Reading) -> Claim | None:
    """A cgroup that carries the id and holds a process may be the sandbox's (safety.md A7)."""
    for path in process.cgroups:
        if ids_of(reading) & cgroup_tokens(path):
            return Claim(process, False, f"is in the cgroup {path}, which carries its name", len(_RANK))
    return None
