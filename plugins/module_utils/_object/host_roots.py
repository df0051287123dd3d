# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root directories of a host's runtimes: the usual ones, and those that running daemons and shims use (A10).

What is looked for in them may be removed, so a directory counts that nobody but root can have put there. What an engine
lists keeps things, and is read wherever it may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_below, open_reached
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    CONFIGURATION,
    ENGINE_ROOTS,
    STATE_ROOT,
    WORK_ROOT,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS as BUNDLE_LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_config import (
    is_daemon,
    read_settings,
    told_by_arguments,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import (
    METADATA_FILE,
    METADATA_FOLDER,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of, options_of
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registries import Program, Told
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_engines import (
    engines_by_root,
    is_roots_alone,
    sandboxes,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# Below which engines have a root directory of runsc's for each namespace (gvisor.md, Paths).
_RUNSC_PARENTS = ("/run/containerd/runsc", "/run/docker/runtime-runsc")
_INSIDE = tuple(layout.inside for layout in BUNDLE_LAYOUTS.values() if layout.has_engine)


class EngineRoots(NamedTuple):
    """A containerd's directories. work: None where it is not known, so that what it lists is not known either."""

    state: str
    work: str | None


def runsc_roots(host_root: str, view: HostView) -> list[str]:
    """Root directories of runsc's beside the default one, as they are reached from here."""
    found: dict[str, None] = {}
    for parent in _RUNSC_PARENTS:
        with open_below(host_root, parent) as directory:
            if directory.exists:
                found.update(dict.fromkeys(directory.join(name) for name in directory.listed()))
    for process in engines_by_root(host_root, view)[host_root]:
        if process.program.startswith("runsc"):
            found.update(dict.fromkeys(_runsc_root(process)))
    for process in sandboxes(host_root, view):
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor import is_recorded

        # It lives among paths of its own, and so does any container: the directory itself has to know it.
        found.update(dict.fromkeys(root for root in _runsc_root(process) if is_recorded(root, process)))
    return list(found)


def _runsc_root(process: Process) -> Iterator[str]:
    root = option_of(process.argv, "root")
    if root.startswith("/") and os.path.isdir(root):
        real = os.path.realpath(root)
        if is_roots_alone(real):
            yield real


def engine_roots(host_root: str, view: HostView) -> list[EngineRoots]:
    """The directories of each containerd that runs or may have run here, below host_root, to look for bundles."""
    return view.once(("engine roots", host_root), lambda: _engine_roots(host_root, view))


def _engine_roots(host_root: str, view: HostView) -> list[EngineRoots]:
    processes = engines_by_root(host_root, view)[host_root]
    told = [one for one in _told(host_root, processes) if one.state and _is_believed(host_root, one.state)]
    found = {one.state: one.work or "" for one in (*_usual(host_root), *told)}
    for state in _states_of_shims(processes):
        if _is_believed(host_root, state):
            found.setdefault(state, "")
    if problems_of_roots(host_root, processes):
        found[_usual_one(host_root).state] = ""  # it may have been moved, and nobody can tell where to
    return [
        EngineRoots(state, work if _may_list(host_root, EngineRoots(state, work), told) else None)
        for state, work in found.items()
        if state and (os.path.isdir(work) or os.path.isdir(state))
    ]


def _may_list(host_root: str, one: EngineRoots, told: list[EngineRoots]) -> bool:
    """Whether its database is where that would be: a user may have moved it, or its disk is not mounted (yet)."""
    if one == _usual_one(host_root):
        return True  # whoever asks it knows whether it was ever set up
    return has_database(host_root, one) if one in told else os.path.isdir(one.work or "")


def listing_roots(host_root: str, processes: Iterable[Process]) -> list[EngineRoots]:
    """The directories of each containerd whose database says what it lists: more than one may have the same state.

    host_root, processes: as engines_by_root pairs them.
    """
    processes = tuple(processes)
    told, usual_one = _told(host_root, processes), _usual_one(host_root)
    known = {one.state for one in told} | {usual_one.state}
    found = [
        one if os.path.isdir(one.work or "") else one._replace(work=None)
        for one, work in zip(_usual(host_root), ENGINE_ROOTS.values())
        if os.path.isdir(one.work or "")
        or _is_lost(host_root, work)
        or (one.state not in known and os.path.isdir(one.state))
    ]
    for one in told:
        is_there = has_database(host_root, one)
        if is_there or one != usual_one or os.path.isdir(one.state):
            found.append(one if is_there else one._replace(work=None))
    known.update(one.state for one in found)
    found += [EngineRoots(state, None) for state in _states_of_shims(processes) if state not in known]
    return list(dict.fromkeys(found))


def _is_lost(host_root: str, path: str) -> bool:
    try:
        with open_below(host_root, path) as directory:
            return directory.is_lost
    except StateError:
        return False  # problems_of_roots says why


def has_database(host_root: str, roots: EngineRoots) -> bool:
    """Whether a containerd has its database there, or may have it: who reads that says why it cannot."""
    if not roots.work:
        return False
    try:
        with open_reached(host_root, f"{roots.work}/{METADATA_FOLDER}") as metadata:
            return metadata.exists and look(metadata, METADATA_FILE) is not None
    except StateError:
        return True


def _usual(host_root: str) -> list[EngineRoots]:
    return [EngineRoots(reached(host_root, one), reached(host_root, two)) for one, two in ENGINE_ROOTS.items()]


def _usual_one(host_root: str) -> EngineRoots:
    return EngineRoots(reached(host_root, STATE_ROOT), reached(host_root, WORK_ROOT))


def _told(host_root: str, processes: Iterable[Process]) -> list[EngineRoots]:
    """What the configuration says, also while containerd does not run (safety.md A4), and each daemon that runs."""
    found = []
    settings = _settings(host_root, CONFIGURATION)
    if settings is not None:
        found.append(_roots_of(host_root, settings))
    for process in _daemons(processes):
        given = {name: told_by_arguments(process.argv, name) for name in ("root", "state")}
        given = {name: os.path.join(process.cwd or "/", path) for name, path in given.items() if path}
        found.append(_roots_of(host_root, {**(_settings(host_root, _config_of(process)) or {}), **given}))
    return found


def _roots_of(host_root: str, settings: dict[str, str]) -> EngineRoots:
    state = settings.get("state", STATE_ROOT)
    work = settings.get("root", ENGINE_ROOTS.get(state, WORK_ROOT))
    return EngineRoots(reached(host_root, state.rstrip("/")), reached(host_root, work.rstrip("/")))


def _daemons(processes: Iterable[Process]) -> list[Process]:
    return [one for one in processes if one.program == "containerd" and is_daemon(one.argv)]


def _config_of(process: Process) -> str:
    path = told_by_arguments(process.argv, "config") or told_by_arguments(process.argv, "c")
    return os.path.join(process.cwd or "/", path) if path else CONFIGURATION


def _settings(host_root: str, path: str) -> dict[str, str] | None:
    """None where there is no such file, or it cannot be read: see problems_of_roots."""
    try:
        return read_settings(host_root, path)
    except StateError:
        return None


def _states_of_shims(processes: Iterable[Process]) -> list[str]:
    """What a containerd's state directory is, by the bundles that its shims work in."""
    shims = [one.cwd for one in processes if one.program.startswith("containerd-shim") and one.cwd]
    parted = [cwd.partition(f"/{inside}/") for cwd in shims for inside in _INSIDE]
    return list(dict.fromkeys(state for state, found, _rest in parted if found))


def _is_believed(host_root: str, state: str) -> bool:
    return host_root != "/" or is_roots_alone(state)


def told_to(programs: Iterable[Program], processes: Iterable[Process], view: HostView) -> Told:
    """What those of these programs that run were told by their arguments and variables. Raises StateError."""
    known = {program.name: program for program in programs}
    running = [(one, known[one.program]) for one in processes if one.program in known]
    return Told(
        roots=_paths_of([(one, program.root) for one, program in running], view),
        configs=_paths_of([(one, program.config) for one, program in running], view),
        drop_ins=_paths_of([(one, program.drop_ins) for one, program in running], view),
    )


def _paths_of(running: Iterable[tuple[Process, tuple[str, ...]]], view: HostView) -> tuple[str, ...]:
    """What these processes were given by these options of theirs, and by variables, whose names are in capitals."""
    found: dict[str, None] = {}
    for process, names in running:
        for name in names:
            variable = view.environment(process.pid).get(name, "") if name.isupper() else ""
            for path in filter(None, (variable, *options_of(process.argv, name))):
                if not path.startswith("/") and not process.cwd:
                    why = f"{process.program} (pid {process.pid}) works in a directory that cannot be read"
                    raise Unreadable(path, why)
                found[os.path.join(process.cwd or "", path)] = None
    return tuple(found)


def problems_of_roots(host_root: str, processes: Iterable[Process]) -> list[str]:
    """Why it is not known where a containerd has its directories, in sentences."""
    problems = []
    running = [_config_of(one) for one in _daemons(processes)]
    for path in dict.fromkeys((CONFIGURATION, *running)):
        try:
            read_settings(host_root, path, is_needed=path != CONFIGURATION)
        except StateError as error:
            problems.append(f"what containerd lists is not known, since its configuration cannot be read: {error}")
    if host_root != "/":
        problems += [found for path in (*ENGINE_ROOTS, *ENGINE_ROOTS.values()) for found in _hidden_at(host_root, path)]
    return problems


def _hidden_at(host_root: str, path: str) -> list[str]:
    try:
        open_below(host_root, path).close()
    except StateError as error:
        return [f"what a containerd of {path} lists is not known: {error}"]
    return []


def reached(host_root: str, path: str) -> str:
    """Where a path of that host is reached from here; empty where its links lead out of it, or it cannot be looked at:
    problems_of_roots says so."""
    if host_root == "/":
        return os.path.realpath(path)  # each directory under one name, or what is in it would count twice
    try:
        with open_below(host_root, path) as directory:
            return directory.path
    except StateError:
        return ""
