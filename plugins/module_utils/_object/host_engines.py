# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines and runtimes of a host that run, as far as they may be believed where they keep things (safety.md A10).

Anybody may start a process that is called containerd and names any directory: what root's own say counts alone. One
that has mounts or a root directory of its own means its own paths, and is asked below that root directory.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_PROGRAMS = ("runsc", "containerd", "dockerd", "crio", "podman")  # how the names of those that are asked for begin


def engines_by_root(host_root: str, view: HostView) -> dict[str, list[Process]]:
    """Those that run here, by what their paths are meant below, as it is reached from here. host_root is the first;
    of a tree that may be another host's there are none. What a container has started is that container's."""
    return view.once(("engines", host_root), lambda: _engines_by_root(host_root, view))


def _engines_by_root(host_root: str, view: HostView) -> dict[str, list[Process]]:
    found: dict[str, list[Process]] = {host_root: []}
    if host_root != "/":
        return found
    own = (view.mount_namespace(), "/")
    roots = {own: "/"}
    for process in _named(view):
        pids = view.namespace_pids(process.pid)
        if pids is None or len(pids) > 1 or not _is_roots(process.pid, view):
            continue
        place = (view.mount_namespace(process.pid) or own[0], process.root or "")
        found.setdefault(roots.setdefault(place, f"/proc/{process.pid}/root"), []).append(process)
    return found


def sandboxes(host_root: str, view: HostView) -> list[Process]:
    """What seem to be runsc's sandboxes of this host: nobody's, with mounts of their own, and often the pid 1 of a pid
    namespace of their own. Any container may look like one: what they say has to be proved."""
    if host_root != "/":
        return []
    named = [process for process in _named(view) if process.program.startswith("runsc")]
    pids = {process.pid: view.namespace_pids(process.pid) or () for process in named}
    return [one for one in named if len(pids[one.pid]) == 1 or (len(pids[one.pid]) == 2 and pids[one.pid][-1] == 1)]


def _named(view: HostView) -> list[Process]:
    found = view.processes.by_pid.values()
    return [one for one in found if one.program.startswith(_PROGRAMS) and not one.dead and one.root is not None]


def _is_roots(pid: int, view: HostView) -> bool:
    """Whether all its user ids are root's, or ours: a program with the set-user-id bit keeps its caller's."""
    uids = view.uids(pid)
    return uids is not None and uids <= {0, os.geteuid()}


def is_roots_alone(path: str) -> bool:
    """Whether nobody but root, or us, can put anything into this directory, or another one in its place (C9).

    path: without links.
    """
    at = path
    while True:
        try:
            status = os.lstat(at)
        except OSError:
            return False
        shared = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        is_kept = at != path and bool(status.st_mode & stat.S_ISVTX)  # as in /tmp: what is in it is its owner's
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()) or (shared and not is_kept):
            return False
        if at == "/":
            return True
        at = os.path.dirname(at)
