# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of Kata 1.x: two trees, of which the configuration survives a reboot (kata-store.md)."""

from __future__ import annotations

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    DocumentRule,
    Reading,
    RecordedProcess,
    RootRule,
    TreeRule,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata import (
    BUNDLE_PATH,
    FIRECRACKER,
    SHARE,
    VM,
    Kata,
    inside,
    list_of,
    must_be,
    recorded,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import pairs_of


class KataStore(Kata):
    """Kata 1.6 to 1.8, and what later 1.x leaves of it (kata-store.md). The configuration survives a reboot."""

    name = "kata_store"
    root_rules = (
        RootRule("config_root", "/var/lib/vc", 0o750, 0o750, "sbs"),
        RootRule("run_root", "/run/vc", 0o750, 0o750, "sbs"),
    )
    trees = (
        TreeRule("config", "config_root", 0o750, (("raw", 0o750),), (("lock", 0o644),)),
        TreeRule("state", "run_root", 0o750, (("raw", 0o750),), (("lock", 0o644),)),
    )
    lock_file = "lock"
    not_containers = frozenset({"raw"})
    places = (VM, FIRECRACKER, SHARE)
    documents = (
        DocumentRule("config", 0o644, tree="config"),
        DocumentRule("state", 0o644, evidence=False),
        DocumentRule("network", 0o644, needed=False, container=False, evidence=False),
        DocumentRule("hypervisor", 0o644, needed=False, container=False),
        DocumentRule("agent", 0o644, needed=False, container=False),
        DocumentRule("process", 0o644, needed=False, sandbox=False),
        DocumentRule("mounts", 0o644, needed=False, sandbox=False, is_list=True, evidence=False),
        DocumentRule("devices", 0o644, needed=False, is_list=True, evidence=False),
    )
    raw_directory = "raw"

    def pids_in(self, reading: Reading) -> list[RecordedProcess]:
        return recorded(
            *(("proxy", one.get("ProxyPid"), "") for _name, one in pairs_of(reading.documents, "agent")),
            *(("virtiofsd", one.get("VirtiofsdPid"), "") for _name, one in pairs_of(reading.documents, "hypervisor")),
            *(("shim", one.get("Pid"), name) for name, one in pairs_of(reading.documents, "process")),
        )

    def hypervisor_of(self, reading: Reading) -> str:
        return next(
            (str(one.get("HypervisorType", "")) for name, one in pairs_of(reading.documents, "config") if not name), ""
        )

    def bundles_of(self, reading: Reading) -> list[Any]:
        contents = [one for _name, one in pairs_of(reading.documents, "config")]
        inner = [one for content in contents for one in list_of(content.get("Containers"))]
        return [inside(one, "Annotations", key) for one in contents + inner for key in BUNDLE_PATH]

    def aliases(self, documents: list[Document]) -> frozenset[str]:
        found = [inside(one, "HypervisorConfig", "VMid") for _name, one in pairs_of(documents, "config")]
        return frozenset(name for name in found if isinstance(name, str) and name)

    def encode(self, rule: DocumentRule, content: Any, container_id: str) -> bytes:
        if rule.name == "devices" and not content and not container_id:
            return b"null"  # Kata encodes a slice there that is nil while there are none
        return super().encode(rule, content, container_id)

    def check_content(self, where: str, content: Any, sandbox_id: str, container_id: str) -> None:
        if where == "documents.config":
            must_be(where, "ID", content.get("ID"), container_id or sandbox_id)
        if where == "documents.devices":
            wanted = ("ID", "ContainerPath") if container_id else ("Type", "Data")
            level = "container" if container_id else "sandbox"
            for number, device in enumerate(content):
                missing = [key for key in wanted if key not in device]
                if missing:
                    why = f"a {level}'s device has {' and '.join(wanted)}, and this one has no {missing[0]}"
                    raise InvalidInput(f"{where}[{number}]", why, "Give the list of the right level.")
