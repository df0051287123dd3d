# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who reads the states of sandboxes all the time, as a runtime would, while others change them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.faults import gvisor
from ansible_collections.sandboxed.containers.tests.faults.kata_rules import TREES

# What a whole sandbox of the tests has in each tree.
_WHOLE = {
    ("kata_store", "config"): {"config.json", "lock", "raw"},
    ("kata_store", "state"): {"state.json", "devices.json", "lock", "raw"},
    ("kata_persist", "state"): {"persist.json"},
    ("kata_rs", "state"): {"state.json"},
}


class Reader(threading.Thread):
    """Reads until the end of the with statement. faults: what nobody should ever see. looks: how often it looked."""

    def __init__(self, root: Path, layout: str) -> None:
        super().__init__()
        self.root = root
        self.layout = layout
        self.faults: list[str] = []
        self.looks = 0
        self._ended = threading.Event()

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        look: Callable[[], None] = self._files if self.layout in gvisor.LAYOUTS else self._trees
        while not self._ended.is_set():
            look()
            self.looks += 1

    def _files(self) -> None:
        """gVisor: files side by side."""
        for path in (self.root / "run").glob("*.state"):
            with suppress(FileNotFoundError):
                self._check(path.read_bytes(), str(path))

    def _trees(self) -> None:
        for role, top in TREES[self.layout].items():
            listed = self.root / top
            with suppress(FileNotFoundError):
                for name in os.listdir(listed):
                    with suppress(FileNotFoundError):
                        self._tree(listed / name, _WHOLE[self.layout, role])

    def _tree(self, path: Path, whole: set[str]) -> None:
        """One sandbox in one tree. What was read counts if the directory still has its name after it."""
        if path.name.startswith("."):
            self.faults.append(f"{path} is listed")
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = set(os.listdir(descriptor))
            for name in found:
                if name.endswith(".json"):
                    with suppress(FileNotFoundError):
                        file = os.open(name, os.O_RDONLY, dir_fd=descriptor)
                        with open(file, "rb") as stream:
                            self._check(stream.read(), f"{path}/{name}")
            state = self.root / TREES[self.layout]["state"] / path.name
            alone = not state.exists()
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                if not whole <= found:
                    self.faults.append(f"{path} has only {sorted(found)}")
                if alone:
                    self.faults.append(f"{path} is there without {state}")
        finally:
            os.close(descriptor)

    def _check(self, data: bytes, where: str) -> None:
        try:
            json.loads(data)
        except ValueError:
            self.faults.append(f"{where} is torn: {data[-40:]!r} ({len(data)} bytes)")
