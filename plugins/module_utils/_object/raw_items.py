# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw items: texts that Kata 1.x keeps beside its documents without understanding them (kata-store.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import MASK
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Write

_MADE_UP = "raw-"
_MODE, _MADE_UP_MODE = 0o644, 0o600  # what Kata gives a named one, and one that it names itself


class RawItems:
    """The raw items that one object is to have.

    wanted: name to text. The empty name asks for one like those that Kata makes up, which are random; ours follows from
    the object and the text, so that check mode tells it, and the same task again finds it.
    names: what they are called, by the wanted names.
    """

    def __init__(self, wanted: Mapping[str, str], owner: str) -> None:
        self._wanted = wanted
        self._owner = owner
        self.names: dict[str, str] = {name: name for name in wanted if name}

    def writes(self, directory: Directory) -> Iterator[Write]:
        """What has to be written into the directory of raw items, which need not be there. Raises Unreadable."""
        for wanted, text in self._wanted.items():
            data = text.encode("utf-8", "surrogateescape")
            name = self.names[wanted] = wanted or self._made_up(directory, data)
            old = _content(directory, name)
            if old != data:
                before = None if old is None else _shown(old)
                mode = _MODE if wanted else _MADE_UP_MODE
                yield Write("raw", directory, name, data, mode, old is not None, before, _shown(data))

    def _made_up(self, directory: Directory, data: bytes) -> str:
        """A name that is free, or that has this text already: no item of somebody else's is ever written over."""
        for number in count():
            digest = hashlib.sha256(f"{self._owner}/{number}/".encode("utf-8", "surrogateescape") + data).digest()
            name = f"{_MADE_UP}{int.from_bytes(digest[:4], 'big'):010}"
            if _content(directory, name) in (None, data):
                return name
        raise AssertionError("count() has no end")

    def urls(self, directory: Directory) -> dict[str, str]:
        """The URL of each by its wanted name, as Kata returns it."""
        return {wanted: f"file://{directory.join(name)}" for wanted, name in self.names.items()}


def _shown(data: bytes) -> dict[str, Any]:
    """What a diff tells of a raw item: it may be a secret."""
    return {"bytes": len(data), "text": MASK}


def _content(directory: Directory, name: str) -> bytes | None:
    try:
        with directory.opened() as opened:
            return read_file(opened, name)
    except FileNotFoundError:
        return None
