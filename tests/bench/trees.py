# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The trees that the bench works on, as data, and how they are laid out: fast, and outside of what is timed.

Names, modes and documents are those that the runtimes write. Recorded pids are ones that no process can have, so that
every sandbox is a leftover.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.bench.payload import BenchFailure

NO_PID = 2**22 + 1  # above what pid_max can be
_ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_FORK = multiprocessing.get_context("fork")


class Entry(NamedTuple):
    """A file or directory of each sandbox. path: below the site, {id} and {container} are names. content: None for a
    directory; @id@ and @container@ are names. is_link: a symbolic link, whose target is the content."""

    path: str
    mode: int
    content: str | None = None
    is_link: bool = False


class Kind(NamedTuple):
    """How a layout's sandboxes look. layout: empty where the module has no such option. roots: the module's options
    for its roots, each below the site; stores: where the sandboxes lie. entries: of each sandbox, parents first;
    others: of each second one, third one, …, where they differ. objects: that each sandbox and what is its are. links:
    of the host, by their paths below the site."""

    layout: str
    roots: dict[str, str]
    stores: tuple[str, ...]
    entries: tuple[Entry, ...]
    others: tuple[tuple[Entry, ...], ...] = ()
    objects: int = 1
    links: tuple[tuple[str, str], ...] = ()

    def entries_of(self, number: int) -> tuple[Entry, ...]:
        """The entries of the sandbox with that number."""
        return (self.entries, *self.others)[number % (1 + len(self.others))]

    def numbers(self, sandboxes: int) -> dict[str, int]:
        """How many files, directories and links that many sandboxes are."""
        numbers = {"files": 0, "directories": 0, "links": 0}
        for first in range(min(sandboxes, 1 + len(self.others))):
            times = len(range(first, sandboxes, 1 + len(self.others)))
            for entry in self.entries_of(first):
                noun = "directories" if entry.content is None else "links" if entry.is_link else "files"
                numbers[noun] += times
        return numbers

    def in_words(self, sandboxes: int) -> str:
        """The same as a text."""
        return ", ".join(f"{number:,} {noun}" for noun, number in self.numbers(sandboxes).items() if number)

    def documents(self, name: str) -> dict[str, Any]:
        """The contents of a sandbox's own documents by their names."""
        found = {os.path.basename(one.path): one.content for one in self.entries if one.content}
        return {file.rpartition(".")[0]: json.loads(text.replace("@id@", name)) for file, text in found.items()}


class Site(NamedTuple):
    """Sandboxes of one kind below a folder."""

    folder: Path
    kind: Kind
    ids: list[str]

    @property
    def roots(self) -> dict[str, str]:
        """The options that name the roots, for a module."""
        return {option: str(self.folder / root) for option, root in self.kind.roots.items()}

    @property
    def stores(self) -> list[Path]:
        """The directories in which the sandboxes lie."""
        return [self.folder / store for store in self.kind.stores]

    def is_empty(self) -> bool:
        """Whether nothing of any sandbox is left."""
        return not any(list(store.iterdir()) for store in self.stores if store.exists())


def names(count: int) -> list[str]:
    """Ids as engines make them, 64 hexadecimal digits, the same in each run."""
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def lay_out(folder: Path, kind: Kind, count: int) -> Site:
    """Make that many sandboxes below a folder that has none. Other processes make them, so that this one stays small:
    its memory would count as the measured ones', which begin as copies of it."""
    folder.mkdir(exist_ok=True)
    for store in kind.stores:
        (folder / store).mkdir(parents=True)
    for link, target in kind.links:
        (folder / link).symlink_to(target)
    ids = names(count)
    if kind.entries:
        size = -(-len(ids) // len(os.sched_getaffinity(0)))
        batches = [(start, ids[start : start + size]) for start in range(0, len(ids), size)] if ids else []
        _make_all(str(folder), kind, batches)
    return Site(folder, kind, ids)


def _make_all(folder: str, kind: Kind, batches: list[tuple[int, list[str]]]) -> None:
    """A process for each batch. No pool: one that is ended while a worker holds its queue waits for ever."""
    processes = [_FORK.Process(target=_work, args=(folder, kind, batch)) for batch in batches]
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # none is started without being known here
        try:
            for process in processes:
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
        raise
    if any(process.exitcode for process in processes):
        raise BenchFailure(f"the trees cannot be made in {folder}: see above")


def _work(folder: str, kind: Kind, batch: tuple[int, list[str]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    _make(folder, kind, batch)


def _make(folder: str, kind: Kind, batch: tuple[int, list[str]]) -> None:
    os.umask(0)
    for number, name in enumerate(batch[1], start=batch[0]):
        container = name[::-1]
        for path, mode, content, is_link in kind.entries_of(number):
            place = f"{folder}/{path.format(id=name, container=container)}"
            if content is None:
                os.mkdir(place, mode)
                continue
            text = content.replace("@id@", name).replace("@container@", container)
            if is_link:
                os.symlink(text, place)
                continue
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            if text:
                os.write(handle, text.encode())
            os.close(handle)


def clear(folder: Path) -> None:
    """Remove what is left of a site, and the folder."""
    shutil.rmtree(folder, ignore_errors=True)
