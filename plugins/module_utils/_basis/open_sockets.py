# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a socket open, and who waits for somebody on it, seen from outside.

The system call that a thread sleeps in, and its arguments, are in /proc/PID/task/TID/syscall.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable

_SOCKET = "socket:["


def waits_on_socket(pids: Iterable[int], number: int, proc: str = "/proc") -> bool | None:
    """Whether a thread of these sleeps in a system call on the socket of that kernel number, which is accept(2) for one
    that listens. None: this cannot be told here."""
    told = False
    for pid in pids:
        for task in _entries(f"{proc}/{pid}/task"):
            descriptor = _first_argument(f"{task}/syscall")
            told = told or descriptor is not None
            if descriptor is not None and descriptor >= 0 and is_socket(f"{task}/fd/{descriptor}", number):
                return True
    return False if told else None


def holders_of(numbers: Collection[int], pids: Iterable[int], proc: str = "/proc") -> set[int]:
    """Which of these processes have a socket of one of these kernel numbers open."""
    wanted = {f"{_SOCKET}{number}]" for number in numbers}
    return {pid for pid in pids if wanted & _open_files(f"{proc}/{pid}/fd")}


def numbers_open_by(pids: Iterable[int], proc: str = "/proc") -> set[int]:
    """The kernel numbers of all sockets that these processes have open."""
    links = set().union(*(_open_files(f"{proc}/{pid}/fd") for pid in pids))
    return {int(link[len(_SOCKET) : -1]) for link in links if link.startswith(_SOCKET)}


def _open_files(folder: str) -> set[str]:
    found = set()
    for descriptor in _entries(folder):
        with contextlib.suppress(OSError):  # closed meanwhile
            found.add(os.readlink(descriptor))
    return found


def is_socket(link: str, number: int) -> bool:
    """Whether a descriptor's link in /proc leads to the socket of that kernel number."""
    try:
        return os.readlink(link) == f"{_SOCKET}{number}]"
    except OSError:
        return False


def _entries(folder: str) -> list[str]:
    """Empty where the process has ended, or is not ours to look into."""
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except OSError:
        return []


def _first_argument(path: str) -> int | None:
    """The first argument of the call that a thread sleeps in, -1 while it runs; None where it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return None
    # "43 0x3 0x0 …", "running", or "-1 sp pc" for a thread that sleeps outside of any call
    if len(words) < 4:
        return -1
    value = int(words[1], 16)
    return value if value < 1 << 20 else -1
