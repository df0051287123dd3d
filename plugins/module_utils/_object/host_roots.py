# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root directories of a host's runtimes: the usual ones, and those that running daemons and shims use (A10)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_followed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    CONFIGURATION,
    ENGINE_ROOTS,
    STATE_ROOT,
    WORK_ROOT,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS as BUNDLE_LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registries import Program, Told

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# Below which engines have a root directory of runsc's for each namespace (gvisor.md, Paths).
_RUNSC_PARENTS = ("/run/containerd/runsc", "/run/docker/runtime-runsc")
_PROGRAMS = ("runsc", "containerd", "dockerd", "crio", "podman")  # how the names of those that are asked for begin
_CONFIG_BYTES = 1 << 20
_IMPORTS_DEEP = 8
_SETTING = r"""\s*["']?(root|state)["']?\s*=\s*["']([^"']+)["']\s*(?:#.*)?$"""
_IMPORTS = r"""(?ms)^\s*["']?imports["']?\s*=\s*\[(.*?)\]"""
_LISTED = r"""["']([^"']+)["']"""
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
    for process in _of_this_host(host_root, view):
        root = option_of(process.argv, "root") if process.program.startswith("runsc") else ""
        if root.startswith("/") and os.path.isdir(root):
            found.setdefault(os.path.realpath(root))
    return list(found)


def engine_roots(host_root: str, view: HostView) -> list[EngineRoots]:
    """The directories of each containerd that runs or may have run here, below host_root."""
    found = {reached(host_root, one): reached(host_root, two) for one, two in ENGINE_ROOTS.items()}
    if _top_level(host_root, CONFIGURATION):
        set_up = _configured(host_root, ())
        found[set_up.state] = set_up.work or ""  # it holds while containerd does not run too (safety.md A4)
    for process in _of_this_host(host_root, view):
        if process.program == "containerd":
            configured = _configured(host_root, process.argv)
            found[configured.state] = configured.work or found.get(configured.state, "")
        elif process.program.startswith("containerd-shim") and process.cwd:
            for inside in _INSIDE:
                state = process.cwd.partition(f"/{inside}/")
                if state[1]:
                    found.setdefault(state[0], "")
    # Of the usual one both directories are there as soon as it is installed and has run, whatever else is.
    usual = (reached(host_root, STATE_ROOT), reached(host_root, WORK_ROOT))
    if problems_of_roots(host_root, view):
        found[usual[0]] = ""  # it may have been moved, and nobody can tell where to
    engines = [(state, work, os.path.isdir(work)) for state, work in found.items() if state]
    return [
        # Where the root directory is not, a user may have moved it, or it is not mounted yet; but for the usual one.
        EngineRoots(state, work if is_there or (state, work) == usual else None)
        for state, work, is_there in engines
        if is_there or os.path.isdir(state)
    ]


def told_to(programs: Iterable[Program], host_root: str, view: HostView) -> Told:
    """What those of these programs that run here were told by their arguments. Raises StateError."""
    known = {program.name: program for program in programs}
    running = [(one, known[one.program]) for one in _of_this_host(host_root, view) if one.program in known]
    return Told(
        roots=_paths_of(running, lambda program: program.root),
        configs=_paths_of(running, lambda program: program.config),
        drop_ins=_paths_of(running, lambda program: program.drop_ins),
    )


def _paths_of(
    running: Iterable[tuple[Process, Program]], names_of: Callable[[Program], tuple[str, ...]]
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for process, program in running:
        for path in filter(None, (option_of(process.argv, name) for name in names_of(program))):
            if not path.startswith("/") and not process.cwd:
                raise Unreadable(path, f"{program.name} (pid {process.pid}) works in a directory that cannot be read")
            found[os.path.join(process.cwd or "", path)] = None
    return tuple(found)


def problems_of_roots(host_root: str, view: HostView) -> list[str]:
    """Why it is not known where a containerd has its directories, in sentences."""
    problems = []
    running = [_config_of(one.argv) for one in _of_this_host(host_root, view) if one.program == "containerd"]
    for path in dict.fromkeys((CONFIGURATION, *running)):
        try:
            _read_settings(host_root, path, is_needed=path != CONFIGURATION)
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


def _of_this_host(host_root: str, view: HostView) -> Iterator[Process]:
    """The processes whose paths mean what they mean here: none where the tree may be another host's."""
    if host_root != "/":
        return
    for process in view.processes.by_pid.values():
        if process.dead or process.root != "/":
            continue
        named = process.program.startswith(_PROGRAMS)
        pids = view.namespace_pids(process.pid) if named else None
        # A sandbox is put into a pid namespace of its own, as its pid 1; any other one was started inside a container.
        is_sandbox = process.program.startswith("runsc") and pids is not None and len(pids) == 2 and pids[-1] == 1
        if pids is not None and (len(pids) == 1 or is_sandbox):
            yield process


def _configured(host_root: str, argv: tuple[str, ...]) -> EngineRoots:
    """By its arguments, else by its configuration file, else as it is by default."""
    given = {"root": option_of(argv, "root"), "state": option_of(argv, "state")}
    settings = _top_level(host_root, _config_of(argv))
    state = given["state"] or settings.get("state", STATE_ROOT)
    work = given["root"] or settings.get("root", ENGINE_ROOTS.get(state, WORK_ROOT))
    return EngineRoots(reached(host_root, state.rstrip("/")), reached(host_root, work.rstrip("/")))


def _config_of(argv: tuple[str, ...]) -> str:
    return option_of(argv, "config") or option_of(argv, "c") or CONFIGURATION


def _top_level(host_root: str, path: str) -> dict[str, str]:
    """The settings of a configuration, none where it cannot be read: see problems_of_roots."""
    try:
        return _read_settings(host_root, path)
    except StateError:
        return {}


def _read_settings(host_root: str, path: str, is_needed: bool = False, depth: int = 0) -> dict[str, str]:
    """The settings of these names that stand before the first table of a TOML file, and in what it imports.

    is_needed: a running daemon was told to read it, so that it cannot be absent. Raises StateError.
    """
    if depth > _IMPORTS_DEEP:
        raise Unreadable(path, "it is imported by too many others")
    data = read_followed(host_root, path, is_needed)
    top = re.split(r"(?m)^\s*\[", data[:_CONFIG_BYTES].decode("utf-8", "replace"))[0]
    found = {match[1]: match[2] for match in (re.match(_SETTING, line) for line in top.splitlines()) if match}
    for listed in re.findall(_IMPORTS, top):
        for pattern in re.findall(_LISTED, listed):
            for imported in _matching(host_root, os.path.join(os.path.dirname(path), pattern)):
                found.update(_read_settings(host_root, imported, False, depth + 1))
    return found


def _matching(host_root: str, pattern: str) -> list[str]:
    """The files of a host that a pattern of an import means, in their order. Raises StateError."""
    folder, name = os.path.split(pattern)
    if re.search(r"[*?\[]", folder):
        raise Unreadable(pattern, "which directories it means is not looked up")
    with open_below(host_root, folder) as directory:
        names = directory.listed() if directory.exists else []
    return [os.path.join(folder, one) for one in names if fnmatchcase(one, name)]
