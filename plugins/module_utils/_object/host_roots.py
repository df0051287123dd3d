# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root directories of a host's runtimes: the usual ones, and those that running daemons and shims use (A10)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS as BUNDLE_LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import STATE_ROOT, WORK_ROOT
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import option_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundleRoots

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# Below which engines have a root directory of runsc's for each namespace (gvisor.md, Paths).
_RUNSC_PARENTS = ("/run/containerd/runsc", "/run/docker/runtime-runsc")
# containerd's state and root: of k3s and rke2, and of Docker's own one.
_KNOWN = {
    STATE_ROOT: WORK_ROOT,
    "/run/k3s/containerd": "/var/lib/rancher/k3s/agent/containerd",
    "/run/docker/containerd": "/var/lib/docker/containerd",
    "/run/docker/containerd/daemon": "/var/lib/docker/containerd/daemon",
    "/var/snap/microk8s/common/run/containerd": "/var/snap/microk8s/common/var/lib/containerd",
}
_CONFIG = "/etc/containerd/config.toml"
_CONFIG_BYTES = 1 << 20
_SETTING = re.compile(r"""^\s*(root|state)\s*=\s*["']([^"']+)["']\s*(?:#.*)?$""")
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
                found.update(dict.fromkeys(directory.join(name) for name in sorted(directory.names())))
    for process in _of_this_host(host_root, view):
        root = option_of(process.argv, "root") if process.program.startswith("runsc") else ""
        if root.startswith("/") and os.path.isdir(root):
            found.setdefault(os.path.realpath(root))
    return list(found)


def engine_roots(host_root: str, view: HostView) -> list[EngineRoots]:
    """The directories of each containerd that runs or may have run here, below host_root."""
    known = {**_KNOWN, **_of_the_stopped(host_root)}
    found = known if host_root == "/" else {_at(host_root, one): _at(host_root, two) for one, two in known.items()}
    for process in _of_this_host(host_root, view):
        if process.program == "containerd":
            configured = _configured(process)
            found[configured.state] = configured.work or found.get(configured.state, "")
        elif process.program.startswith("containerd-shim") and process.cwd:
            for inside in _INSIDE:
                state = process.cwd.partition(f"/{inside}/")
                if state[1]:
                    found.setdefault(state[0], "")
    usual = (_at(host_root, STATE_ROOT), _at(host_root, WORK_ROOT))
    engines = [(state, work, os.path.isdir(work)) for state, work in found.items()]
    return [
        # Where the root directory is not, a user may have moved it, or it is not mounted yet; but for the usual one.
        EngineRoots(state, work if is_there or (state, work) == usual else None)
        for state, work, is_there in engines
        if is_there or os.path.isdir(state)
    ]


def _of_the_stopped(host_root: str) -> dict[str, str]:
    """What containerd's own configuration says, which holds while it does not run too (safety.md A4)."""
    settings = _top_level(os.path.join(_at(host_root, os.path.dirname(_CONFIG)), os.path.basename(_CONFIG)))
    if not settings:
        return {}
    state = settings.get("state", STATE_ROOT).rstrip("/")
    return {state: settings.get("root", _KNOWN.get(state, WORK_ROOT)).rstrip("/")}


def roots_given(host_root: str, roots: EngineRoots, others: tuple[str, ...] = ()) -> BundleRoots:
    """The same as the options of a task would say it. others: the state directories of all."""
    if roots.state == _at(host_root, STATE_ROOT) and roots.work == _at(host_root, WORK_ROOT):
        return BundleRoots(host_root, others=others)
    # Without a root directory of its own, no other one's database is taken for it.
    return BundleRoots(host_root, roots.state, roots.work or os.path.join(roots.state, ".unknown"), others=others)


def _at(host_root: str, path: str) -> str:
    try:
        with open_below(host_root, path) as directory:
            return directory.path
    except StateError:
        return host_root.rstrip("/") + path


def _of_this_host(host_root: str, view: HostView) -> Iterator[Process]:
    """The processes whose paths mean what they mean here: none where the tree may be another host's."""
    if host_root != "/":
        return
    for process in view.processes.by_pid.values():
        if process.dead or process.root != "/":
            continue
        pids = view.namespace_pids(process.pid) if process.program.startswith(("runsc", "containerd")) else ()
        if pids is not None and (len(pids) == 1 or (len(pids) == 2 and pids[-1] == 1)):
            yield process


def _configured(process: Process) -> EngineRoots:
    """By its arguments, else by its configuration file, else as it is by default."""
    given = {"root": option_of(process.argv, "root"), "state": option_of(process.argv, "state")}
    path = option_of(process.argv, "config") or option_of(process.argv, "c") or _CONFIG
    settings = _top_level(path)
    state = given["state"] or settings.get("state", STATE_ROOT)
    work = given["root"] or settings.get("root", _KNOWN.get(state, WORK_ROOT))
    return EngineRoots(state.rstrip("/"), work.rstrip("/"))


def _top_level(path: str) -> dict[str, str]:
    """The settings of these names that stand before the first table of a TOML file."""
    found: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file.read(_CONFIG_BYTES).splitlines():
                if line.lstrip().startswith("["):
                    break
                match = _SETTING.match(line)
                if match:
                    found[match[1]] = match[2]
    except OSError:
        return {}
    return found
