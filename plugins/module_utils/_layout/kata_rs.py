# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""state.json of Kata's Rust runtime (kata-runtime-rs.md)."""

from __future__ import annotations

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    DocumentRule,
    Reading,
    RecordedProcess,
    RootRule,
    TreeRule,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata import (
    JAIL,
    SHARE,
    Kata,
    inside,
    must_be,
    recorded,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import pairs_of


class KataRs(Kata):
    """Kata's Rust runtime (kata-runtime-rs.md). It has no lock at all."""

    name = "kata_rs"
    root_rules = (RootRule("run_root", "/run/kata", 0o750),)
    trees = (TreeRule("state", "run_root", 0o750),)
    lock_file = ""
    not_containers = frozenset({"root"})
    sign_directories = ("root",)
    names = NameRule(reserved=frozenset({"firecracker"}))
    places = (SHARE, JAIL)
    documents = (DocumentRule("state", 0o644, container=False),)

    # Where a jailed machine's state is written, and never read (RS5)
    other_places = (("{}", "root"), ("firecracker", "{}", "root"))

    def pids_in(self, reading: Reading) -> list[RecordedProcess]:
        machines = [one.get("hypervisor") for _name, one in pairs_of(reading.documents, "state")]
        return recorded(
            *(("hypervisor", inside(one, "pid"), "") for one in machines),
            *(("virtiofsd", inside(one, "virtiofs_daemon_pid"), "") for one in machines),
        )

    def hypervisor_of(self, reading: Reading) -> str:
        contents = [one for _name, one in pairs_of(reading.documents, "state")]
        return next((str(inside(one, "hypervisor", "hypervisor_type") or "") for one in contents), "")

    def bundles_of(self, reading: Reading) -> list[Any]:
        return []

    def aliases(self, documents: list[Document]) -> frozenset[str]:
        return frozenset()

    def encode(self, rule: DocumentRule, content: Any, container_id: str) -> bytes:
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout import rust_json

        return rust_json.encode(content, f"documents.{rule.name}")

    def check_content(self, where: str, content: Any, sandbox_id: str, container_id: str) -> None:
        must_be(where, "hypervisor.id", inside(content, "hypervisor", "id"), sandbox_id)
