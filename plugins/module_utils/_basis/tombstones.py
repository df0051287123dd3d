# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hidden names that objects get while they are removed or made (safety.md D1, D2)."""

from __future__ import annotations

import os
import re

TOMBSTONE_PREFIX = ".sbx-del."

_MARK = r"(.+)\.([0-9a-f]{16})"


def tombstone_name(object_id: str, prefix: str = TOMBSTONE_PREFIX) -> str:
    """A new hidden name for the delete of an object: prefix, id, dot, 16 hex digits (safety.md D1).

    For containerd prefix is ".".
    """
    return f"{prefix}{object_id}.{os.urandom(8).hex()}"


def parse_tombstone(name: str, prefix: str = TOMBSTONE_PREFIX) -> str | None:
    """The object's id if name is a tombstone of that prefix, else None. The id is not checked further."""
    match = re.fullmatch(_MARK, name[len(prefix) :], re.DOTALL) if name.startswith(prefix) else None
    return match.group(1) if match else None
