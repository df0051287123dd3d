# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the records of our daemons lie, and how they are read."""

from __future__ import annotations

import os

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import (
    RUN_DIR,
    RUN_DIR_MODE,
    SUFFIX,
    Record,
    read_record,
    refuse_another_hosts,
)


class RunDir:
    """The directory of our records. directory: it may not exist."""

    def __init__(self, host_root: str, given: str | None) -> None:
        self.host_root = host_root
        self._given = given
        self.directory = self._open(create=False)

    @property
    def is_here(self) -> bool:
        """Whether the paths in its records are this machine's, and not those of another one's tree.

        A run_dir that is given is taken as it is; one in host_root belongs to that tree all the same.
        """
        if self.host_root == "/":
            return True
        above = os.path.realpath(self.host_root).rstrip("/")
        return self._given is not None and not os.path.realpath(self._given).startswith(f"{above}/")

    def _open(self, create: bool) -> Directory:
        mode = RUN_DIR_MODE if create else None
        if self._given is not None:
            return open_given(self._given, mode)
        return open_below(self.host_root, RUN_DIR, mode)

    def create(self) -> None:
        if not self.directory.exists:
            self.directory = self._open(create=True)

    def names(self) -> list[str]:
        """The names of all daemons that have a record, sorted. Raises StateError."""
        found = self.directory.listed() if self.directory.exists else []
        return sorted(name[: -len(SUFFIX)] for name in found if name.endswith(SUFFIX) and not name.startswith("."))

    def beside(self, name: str) -> list[Record]:
        """The records of all daemons but one. Raises StateError."""
        return [found for other in self.names() if other != name and (found := self.read(other)) is not None]

    def read(self, name: str) -> Record | None:
        """The record of a daemon; None where there is none. Raises StateError for one that is not to be trusted."""
        data = read_file(self.directory, name + SUFFIX) if self.directory.exists else None
        if data is None:
            return None
        path = self.directory.join(name + SUFFIX)
        record = read_record(data, path)
        refuse_another_hosts(record, path, host.machine_id() or "")
        return record
