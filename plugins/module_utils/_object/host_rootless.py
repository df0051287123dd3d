# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of the temporary users under which Kata runs a VMM without root (kata-persist.md, safety.md D6)."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look, read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    Candidate,
    identity_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_PLACE = "/run/user"
_LOGINS = "/run/systemd/users"
_USER = r"kata-\d+"
# As `useradd -c` is told it by Kata, quotes included.
_COMMENT = "Kata Containers temporary hypervisor user"
_NAME, _UID, _GECOS = 0, 2, 4  # fields of passwd(5)
_NUMBER = re.compile(r"[0-9]{1,10}")


class RootlessCandidate(Candidate):
    """One such user, with its runtime directory. The user itself is never deleted: one of whom nothing else is left is
    shown, as somebody else's to delete (field problem 29)."""

    kind = "rootless"

    def __init__(self, host_root: str, place: Directory, user: str, uid: int) -> None:
        self.name, self.uid = user, uid
        self.place = place
        self._host_root = host_root
        self._directory: FileFacts | None = None
        self._is_used = False  # whether something runs as that user

    def _names(self) -> frozenset[str]:
        """Nothing is tied to it: a sandbox may have such a name too."""
        return frozenset()

    def _paths(self) -> list[str]:
        return [self.place.join(str(self.uid))] if self._directory is not None else []

    def _identity(self) -> dict[str, int]:
        return identity_of(self._directory) if self._directory is not None else {}

    def _facts(self) -> list[FileFacts]:
        return [self._directory] if self._directory is not None else []

    @property
    def part(self) -> Part | None:
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part

        found = self._directory
        return Part("rootless", "", self.place, str(self.uid), found) if found is not None else None

    def _read(self, view: HostView, held: bool) -> bool:
        found = look(self.place, str(self.uid)) if self.place.exists else None
        self._directory = found if found is not None and stat.S_ISDIR(found.mode) else None
        # Its number may have been given to somebody else since (safety.md D6).
        return _users(self._host_root).get(str(self.uid)) == self.name

    def foreign(self) -> str:
        if self.paths or self._is_used:
            return ""
        return f"user {self.name} has no runtime directory, and users are not deleted here: see userdel(8)"

    def evidence(self, view: HostView) -> Evidence:
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe

        running = [one for one in view.processes.by_pid.values() if one.uid == self.uid and not one.dead]
        owners = tuple(f"{describe(one)} runs as {self.name}" for one in running[:3])
        self._is_used = bool(owners)
        suspects = []
        with open_below(self._host_root, _LOGINS) as logins:
            if logins.exists and look(logins, str(self.uid)) is not None:
                suspects.append(f"{self.name} is logged in")
        if any(mount.point == path for path in self.paths for mount in view.mounts.own.at_or_below(path)):
            suspects.append("it is a mount point")
        return Evidence(owners, tuple(suspects), (), (f"no process runs as {self.name}",), view.blind)


def find(host_root: str) -> Iterator[RootlessCandidate]:
    """The users that Kata has made, by the names and comments in passwd. Raises StateError."""
    place = open_below(host_root, _PLACE)
    for uid, name in _users(host_root).items():
        if name and int(uid) > 0:
            yield RootlessCandidate(host_root, place, name, int(uid))


def _users(host_root: str) -> dict[str, str]:
    """For each number, the user that Kata has made; empty where the first one of that number is another. Raises
    StateError."""
    with open_below(host_root, "/etc") as etc:
        data = (read_file(etc, "passwd") or b"") if etc.exists else b""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) < 7 or not _NUMBER.fullmatch(fields[_UID]):
            continue
        is_katas = re.fullmatch(_USER, fields[_NAME]) and fields[_GECOS].strip('"') == _COMMENT
        found.setdefault(str(int(fields[_UID])), fields[_NAME] if is_katas else "")
    return found
