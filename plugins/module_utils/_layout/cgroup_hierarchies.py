# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroup hierarchies of a host, by what is mounted there (cgroups.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import Mount

# The options of a v1 mount that are controllers; a hierarchy without one has a name, as "name=systemd".
_CONTROLLER = (
    "blkio|cpu|cpuacct|cpuset|devices|freezer|hugetlb|memory|misc|net_cls|net_prio|perf_event|pids|rdma|name=.+"
)
UNIFIED = "unified"


class Hierarchy(NamedTuple):
    """A cgroup hierarchy of this host. controllers: ("cpu", "cpuacct"), ("name=systemd",); ("unified",) for v2."""

    controllers: tuple[str, ...]
    mount: str

    @property
    def unified(self) -> bool:
        return self.controllers == (UNIFIED,)


def hierarchies(mounts: Iterable[Mount]) -> tuple[Hierarchy, ...]:
    """The cgroup hierarchies that a mount namespace shows: v1 ones by their options, then v2's (CG4: asked each time).

    Each file system counts once, at the mount that shows most of it: a container's own view of a hierarchy, or one
    controller under two names, is the same hierarchy (CG2, CG7).
    """
    found: dict[tuple[int, int], Mount] = {}
    for mount in mounts:
        if mount.fs_type not in ("cgroup", "cgroup2") or mount.deleted or mount.root.startswith("/.."):
            continue  # a root of "/.." is above our cgroup namespace, where paths mean something else
        known = found.get(mount.device)
        if known is None or len(mount.root) < len(known.root):
            found[mount.device] = mount
    ordered = sorted(found.values(), key=lambda mount: mount.fs_type == "cgroup2")
    rows = [Hierarchy(_controllers(mount), mount.point) for mount in ordered]
    return tuple(row for row in rows if row.controllers)


def _controllers(mount: Mount) -> tuple[str, ...]:
    if mount.fs_type == "cgroup2":
        return (UNIFIED,)
    return tuple(one for one in mount.options.split(",") if re.fullmatch(_CONTROLLER, one))
