# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI bundles: where containerd's two generations of runtimes keep them, and bundles that stand for themselves.

Source: contracts/containerd-bundles.md; core/runtime/v2/bundle.go of containerd 2.0, runtime/v1/linux/bundle.go of 1.7.
"""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import tombstone_name

# containerd's own `state` and `root`.
STATE_ROOT, WORK_ROOT = "/run/containerd", "/var/lib/containerd"
CONFIGURATION = "/etc/containerd/config.toml"
# The same of each engine that brings a containerd of its own: k3s and rke2, Docker, microk8s (safety.md A10).
ENGINE_ROOTS = {
    STATE_ROOT: WORK_ROOT,
    "/run/k3s/containerd": "/var/lib/rancher/k3s/agent/containerd",
    "/run/docker/containerd": "/var/lib/docker/containerd",
    "/run/docker/containerd/daemon": "/var/lib/docker/containerd/daemon",
    "/var/snap/microk8s/common/run/containerd": "/var/snap/microk8s/common/var/lib/containerd",
}
STATE_ROOTS = tuple(ENGINE_ROOTS)
ROOT_MODE = 0o711
# Of the directory of a namespace, of a work directory, and of a bundle's rootfs.
INNER_MODE = 0o711
SPEC, ROOTFS, WORK_LINK = "config.json", "rootfs", "work"
# containerd skips hidden names in its state tree; its own unfinished deletes have one as well (safety.md D1).
TOMBSTONE_PREFIX = "."


class BundleLayout(NamedTuple):
    """One kind of bundles.

    inside: below containerd's state and root, the directory that has a directory for each namespace; empty where
    there is no engine, and the bundles lie side by side. work_link: a bundle has a link to its work directory.
    """

    name: str
    inside: str = ""
    work_link: bool = False

    @property
    def has_engine(self) -> bool:
        """Whether a containerd owns them, with namespaces, work directories and shim sockets."""
        return bool(self.inside)


LAYOUTS = {
    layout.name: layout
    for layout in (
        BundleLayout("containerd_v2", "io.containerd.runtime.v2.task", work_link=True),
        BundleLayout("containerd_v1", "io.containerd.runtime.v1.linux"),
        BundleLayout("oci"),
    )
}

# What is on disk may have other names than containerd would take today; hidden ones are unfinished deletes.
NAMES = NameRule(
    r"[^.].*",
    "do not begin with '.', as those of unfinished deletes do",
    extra_bytes=len(tombstone_name("", TOMBSTONE_PREFIX)),
)
