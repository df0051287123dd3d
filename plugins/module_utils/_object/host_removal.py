# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What removes each kind of object that a scan finds. The scan itself ships nothing of this."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import BundleWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_removal import AbsentBundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon import Daemon
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import DaemonWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.flat_sandbox import FlatSandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_bundles import (
    BundleCandidate,
    SocketCandidate,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_cgroups import CgroupCandidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_daemons import DaemonCandidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_items import (
    LeftoverCgroup,
    LeftoverProcess,
    LeftoverSocket,
    LeftoverTree,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_mappings import MappingCandidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate, Terms
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_processes import ProcessCandidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_rootless import RootlessCandidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_sandboxes import SandboxCandidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import ContainerMapping, MappingWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox

_STOP_SECONDS = 10.0


def item_of(one: Candidate, terms: Terms) -> Item:
    """What removes an object, on these terms."""
    if isinstance(one, SandboxCandidate):
        wish = Wish(one.name, present=False, unmount=terms.unmount)
        return (FlatSandbox if isinstance(one.tree.layout, FlatLayout) else TreeSandbox)(wish, one.tree)
    if isinstance(one, BundleCandidate):
        # How old it has to be was asked when it was judged.
        return AbsentBundle(BundleWish(one.name, present=False, unmount=terms.unmount, abandoned=0.0), one.place)
    if isinstance(one, MappingCandidate):
        return ContainerMapping(MappingWish(one.name, doubts_count=False), one.root)
    if isinstance(one, DaemonCandidate):
        return Daemon(DaemonWish(one.name, "stopped", _STOP_SECONDS), one.run_dir)
    if isinstance(one, ProcessCandidate):
        return LeftoverProcess(one, one.process, terms.stop_processes)
    if isinstance(one, SocketCandidate):
        return LeftoverSocket(one, f"Socket '{one.name[:12]}…'", one.place.sockets)
    if isinstance(one, RootlessCandidate):
        return LeftoverTree(one, f"Runtime directory of {one.name}", one.place, lambda: one.part)
    if isinstance(one, CgroupCandidate):
        return LeftoverCgroup(one, one.path)
    raise TypeError(one.kind)  # a kind that nothing removes is a fault of ours
