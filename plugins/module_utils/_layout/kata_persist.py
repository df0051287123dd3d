# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""persist.json of Kata 1.11 to 1.13 and of the Go runtime 2.x to 4.x (kata-persist.md)."""

from __future__ import annotations

from typing import Any

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
    INITDATA,
    SHARE,
    VM,
    Kata,
    inside,
    list_of,
    must_be,
    recorded,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import pairs_of


class KataPersist(Kata):
    """Kata 1.11 to 1.13, and the Go runtime of 2.x to 4.x (kata-persist.md). The directory itself is the lock."""

    name = "kata_persist"
    root_rules = (RootRule("run_root", "/run/vc", 0o700, inside="sbs"),)
    trees = (TreeRule("state", "run_root", 0o700),)
    lock_file = "."
    runtime_waits = False  # 1.7 to 1.10 take it without waiting, and then fail (safety.md B3)
    not_containers = frozenset()
    inherits_owner = True
    places = (VM, FIRECRACKER, SHARE, INITDATA)
    documents = (DocumentRule("persist", 0o600, newline=True),)

    def pids_in(self, reading: Reading) -> list[RecordedProcess]:
        found: list[RecordedProcess] = []
        for name, content in pairs_of(reading.documents, "persist"):
            machine = content.get("HypervisorState")
            found += recorded(
                ("hypervisor", inside(machine, "Pid"), ""),
                ("virtiofsd", inside(machine, "VirtiofsDaemonPid"), ""),
                ("virtiofsd", inside(machine, "VirtiofsdPid"), ""),  # its name before 2.4
                ("shim", inside(content, "Process", "Pid"), name),
            )
        return found

    def hypervisor_of(self, reading: Reading) -> str:
        for name, content in pairs_of(reading.documents, "persist"):
            if not name:
                return str(
                    inside(content, "Config", "HypervisorType") or inside(content, "HypervisorState", "Type") or ""
                )
        return ""

    def bundles_of(self, reading: Reading) -> list[Any]:
        contents = [one for _name, one in pairs_of(reading.documents, "persist")]
        configs = [one for content in contents for one in list_of(inside(content, "Config", "ContainerConfigs"))]
        return [content.get("BundlePath") for content in contents] + [
            inside(one, "Annotations", key) for one in configs for key in BUNDLE_PATH
        ]

    def aliases(self, documents: list[Document]) -> frozenset[str]:
        found = [inside(one, "Config", "HypervisorConfig", "VMid") for _name, one in pairs_of(documents, "persist")]
        return frozenset(name for name in found if isinstance(name, str) and name)

    def check_content(self, where: str, content: Any, sandbox_id: str, container_id: str) -> None:
        if not container_id:
            must_be(where, "SandboxContainer", content.get("SandboxContainer"), sandbox_id)
