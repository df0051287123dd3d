# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a running virtiofsd is, by its paths and cgroups (contracts/virtiofsd.md, safety.md E2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import Seen

_PROGRAM = "virtiofsd"
# Patterns as texts, which are compiled when they are first needed: most hosts have no virtiofsd.
# Where Kata keeps what belongs to one sandbox: the shared tree, the Go runtime's VM directory, the Rust runtime's own.
# A rootless one has the same below its $XDG_RUNTIME_DIR.
_SANDBOX = (
    r"/run/kata-containers/shared/sandboxes/([^/]+)(?:/|$)",
    r"/run/user/\d+/(?:[^/]+/)*kata-containers/shared/sandboxes/([^/]+)(?:/|$)",
    r"/run/vc/vm/([^/]+)/",
    r"/run/kata/([^/]+)/root/",
)
# Products that start a virtiofsd of their own, by a component of its paths or cgroups.
_PRODUCTS = {
    "libvirt": r"/libvirt(?:/|$)|/machine\.slice(?:/|$)",
    "KubeVirt": r"/kubevirt[^/]*(?:/|$)",
    "Incus": r"/incus[^/]*(?:/|$)",
    "LXD": r"/lxd[^/]*(?:/|$)",
}
_UNIT = r"[^/]+\.service"


def is_virtiofsd(program: str) -> bool:
    """Whether a program's file has such a name: distributions and Kata add an ending to it."""
    return program.startswith(_PROGRAM)


def sandbox_of(paths: Iterable[str]) -> str:
    """The Kata sandbox that a daemon's paths name; empty where they name none."""
    for path in paths:
        for place in _SANDBOX:
            found = re.match(place, path)
            if found:
                return found[1]
    return ""


def product_of(seen: Seen, cgroups: Iterable[str]) -> str:
    """Who else has started it: a product's name, or the unit that it runs in; empty where nothing tells."""
    cgroups = list(cgroups)
    for product, place in _PRODUCTS.items():
        if any(re.search(place, path) for path in (seen.shared_dir, seen.socket_path, *cgroups)):
            return product
    units = [part for path in cgroups for part in path.split("/") if re.fullmatch(_UNIT, part)]
    return units[-1] if units else ""
