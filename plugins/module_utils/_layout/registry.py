# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every layout by its name. A new runtime generation is one class beside this file and one line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Layout


class _Layouts(Mapping[str, "Layout"]):
    """Imports a layout when it is asked for: a task needs one, and all of them would cost it a tenth of its time."""

    _NAMES = ("kata_store", "kata_persist", "kata_rs", "gvisor", "gvisor_legacy")

    def __getitem__(self, name: str) -> Layout:
        if name == "kata_store":
            from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata_store import KataStore

            return KataStore()
        if name == "kata_persist":
            from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata_persist import KataPersist

            return KataPersist()
        if name == "kata_rs":
            from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata_rs import KataRs

            return KataRs()
        if name in ("gvisor", "gvisor_legacy"):
            from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor import (
                Gvisor,
                GvisorLegacy,
            )

            return Gvisor() if name == "gvisor" else GvisorLegacy()
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._NAMES)

    def __len__(self) -> int:
        return len(self._NAMES)


LAYOUTS = _Layouts()
