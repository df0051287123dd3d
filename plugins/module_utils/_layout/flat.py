# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts that keep all sandboxes as files side by side in one directory, each container with a lock of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Claim,
    Layout,
    Part,
    Reading,
    Roots,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory


class FlatLayout(Layout):
    """commit_role: the role whose removal makes an object be gone (safety.md D1)."""

    commit_role: str
    is_flat = True

    @abstractmethod
    def read(self, roots: Roots, sandbox_id: str, names: list[str]) -> Reading:
        """Read one sandbox from the file names that sandboxes_of found."""

    @abstractmethod
    def containers_in(self, sandbox_id: str, names: list[str]) -> list[str]:
        """The containers that these files of a sandbox are of; its own last, which identifies the rest (kata-store.md
        K12)."""

    @abstractmethod
    def place(self, roots: Roots, document: str, sandbox_id: str, container_id: str) -> tuple[Directory, str]:
        """Where a document is, or would be."""

    @abstractmethod
    def lock_place(self, roots: Roots, sandbox_id: str, container_id: str, create: bool) -> LockPlace:
        """The object that the runtime itself locks for a container (README.md R1)."""

    @abstractmethod
    def check_place(self, roots: Roots, sandbox_id: str, container_id: str) -> None:
        """InvalidInput when the place of a container's document is taken by another sandbox's container."""

    @abstractmethod
    def belongings(self, roots: Roots, claims: list[Claim], reading: Reading) -> list[Part]:
        """Parts that only the arguments of living owners lead to, where no document names them."""

    @abstractmethod
    def lock_text(self, sandbox_id: str, container_id: str) -> bytes:
        """What the lock of a container has to say before its state goes, because only that said it; mostly empty."""

    @abstractmethod
    def hint(self, reading: Reading) -> str:
        """What a user should know who removes this, or empty."""
