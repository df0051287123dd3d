# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process has to do with a bundle: shims of both generations, and the processes of the container (safety.md A6).

Source: runtime/v2/shim/util.go and runtime/v1/shim/client of containerd 1.7 for the arguments and working directories.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.process_tokens import (
    argument_tokens,
    cgroup_tokens,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import TOMBSTONE_PREFIX
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import Cgroup
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of

_SHIM = "containerd-shim"
_ASK_ENGINE = "Remove the container with its engine (ctr, crictl, nerdctl), whose shim still serves it."
_BY_HAND = "Find out what it is, and stop it by hand."
_RUNTIMES = ("runc", "crun", "runsc", "youki", "kata-runtime")
_SHIM_ORDER, _CONTAINER_ORDER = 0, 1  # a shim would clean up when its container ends


class BundleSigns(NamedTuple):
    """By what a process means a bundle. directory: its path without links. work: that of its work directory, empty
    where the layout has none. cgroups: those that its spec asks for.

    engine_runs: then a shim is the engine's to stop.
    """

    namespace: str
    directory: str
    work: str
    cgroups: Collection[Cgroup]
    engine_runs: bool


def claim(process: Process, reading: BundleReading, signs: BundleSigns) -> Claim | None:
    """What a process has to do with the bundle; None: nothing. Ids are whole arguments, never parts of them (A8)."""
    if _program(process).startswith(_SHIM):
        return _claim_of_shim(process, reading, signs)
    member = _claim_by_cgroup(process, reading, signs)
    if member is not None:
        return member
    mention = _mention(process, reading.container_id)
    if not mention:
        return None
    names_directory = any(_is_below(part, signs.directory) for text in process.argv for part in _paths(text))
    if names_directory and _program(process).startswith(_RUNTIMES):
        return Claim(process, True, "is at work on it", 0, remedy="Wait until that is done, or stop it by hand.")
    return Claim(process, False, mention, 3)


def _program(process: Process) -> str:
    executable = os.path.basename(process.exe or "")
    return executable if executable.startswith(_SHIM) else process.program


def _claim_of_shim(process: Process, reading: BundleReading, signs: BundleSigns) -> Claim | None:
    """A shim serves what it was started for, and all containers of that pod; it works in the bundle of the first."""
    served = option_of(process.argv, "id")
    works_here = _works_in(process, signs, reading.container_id)
    if signs.work and option_of(process.argv, "workdir") == signs.work:  # v1's, which says so in its arguments
        works_here = True
    if not works_here:
        if option_of(process.argv, "namespace") != signs.namespace:
            return None
        if served not in {reading.container_id, reading.group, *reading.sandbox_ids} - {None, ""}:
            return None
    own = works_here or served == reading.container_id
    if process.cwd and not works_here and os.path.dirname(process.cwd) != os.path.dirname(signs.directory):
        if own and os.path.basename(process.cwd) == served:
            return None  # another engine's container of the same name
        return Claim(process, False, "names it, and works in another directory", 1)
    if "delete" in process.argv[1:]:
        return Claim(process, True, "is cleaning up after it", 0, remedy="Wait until that is done.")
    stoppable = own and not signs.engine_runs
    why = "serves it" if own else f"serves its pod {served}"
    return Claim(
        process, True, why, 0, _SHIM_ORDER if stoppable else None, _ASK_ENGINE if signs.engine_runs else _BY_HAND
    )


def _works_in(process: Process, signs: BundleSigns, container_id: str) -> bool:
    """Whether it works in the bundle, also while that has the hidden name of a delete."""
    folder, _slash, name = (process.cwd or "").rpartition("/")
    own = name == container_id or parse_tombstone(name, TOMBSTONE_PREFIX) == container_id
    return own and folder == os.path.dirname(signs.directory)


def _claim_by_cgroup(process: Process, reading: BundleReading, signs: BundleSigns) -> Claim | None:
    """The processes of a container are in its cgroup, which the spec names; one of another name may have several."""
    for cgroup in signs.cgroups:
        path = cgroup.place.inside
        if path in process.cgroups:
            if cgroup.carries(reading.container_id):
                return Claim(process, True, f"runs in its cgroup {path}", 2, _CONTAINER_ORDER, _BY_HAND)
            if cgroup.place.form != "overhead":
                return Claim(process, False, f"is in the cgroup {path}, which its spec names", 3)
    return None


def _mention(process: Process, container_id: str) -> str:
    """How a process names the container, as the end of a sentence; empty when it does not."""
    for argument in process.argv:
        if container_id in argument_tokens(argument):
            return "names it in its arguments"
    for where, path in (("works in", process.cwd), ("has as its root", process.root)):
        if path and container_id in path.split("/"):
            return f"{where} {path}"
    for path in process.cgroups:
        if container_id in cgroup_tokens(path):
            return f"is in the cgroup {path}, which carries its name"
    return ""


def _paths(text: str) -> list[str]:
    return [part for part in (text, text.partition("=")[2]) if part.startswith("/")]


def _is_below(path: str, directory: str) -> bool:
    path = os.path.normpath(path)
    return path == directory or path.startswith(f"{directory}/")
