# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in a bundle's root directory where its file system is not mounted (field problem 38, containerd#11376).

containerd refuses to remove such a bundle, again at each start. A removal of ours takes it along, so it is told before.
"""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import ROOTFS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_SHOWN = 3


def remains(reading: BundleReading, view: HostView) -> tuple[str, ...]:
    """A sentence; none where it is empty or something is mounted there, which is never entered (safety.md B6)."""
    bundle = reading.bundle
    if bundle is None or ROOTFS in reading.missing:
        return ()
    if view.mounts_in(bundle.path) and view.mounts_in(f"{bundle.path}/{ROOTFS}"):
        return ()
    try:
        with bundle.directory.child(bundle.name).child(ROOTFS).opened() as rootfs:
            names = rootfs.listed()
    except FileNotFoundError:
        return ()
    except Unreadable as error:
        return (f"what is in its {ROOTFS} cannot be told: {error.why}",)
    if not names:
        return ()
    shown = ", ".join(repr(name) for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return (f"its {ROOTFS} is not mounted, and a removal takes along what lies in it ({len(names)}): {shown}",)
