# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own record of a virtiofsd that the collection has started: `<run_dir>/<name>.json`, mode 0600.

A daemon has no state of its own on disk, and with --fd no pid file either (contracts/virtiofsd.md). V4 and V5 are what
comes of a pid alone: here it stands with its start time, boot and command line (safety.md E1, F2).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import NotProved, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import Share

RUN_DIR = "/run/sandboxed.containers/virtiofsd"
RUN_DIR_MODE = 0o700
MODE = 0o600
SUFFIX = ".json"
STOPPING_SUFFIX = ".stopping"
NAMES = NameRule(extra_bytes=len(STOPPING_SUFFIX) + 1)
# What is recorded of a wish, and compared with the next one.
OPTIONS = frozenset((
    "socket_path", *Share._fields, "executable", "dialect", "log_file", "network_namespace", "on_quit",
))  # fmt: skip
_SCHEMA = 1
_BY_HAND = "Look at it, see with virtiofsd_daemon_info what runs, and remove it by hand if nothing of it does."


class Record(NamedTuple):
    """pid_namespace: in which its processes are, or above them, as "pid:[4026531836]". pid, start_ticks: of the main
    process, 0 while it is being started; start_ticks in clock ticks since boot.

    command_line: its arguments. socket: the listening socket's number in the kernel; socket_file: the pairs of device
    and inode under which the kernel may show its file. unit: of systemd, cgroups: those that were made for it, if any.
    options: what was asked for, as it is compared with later wishes. address: the name that the socket was bound to,
    which is that of its connections too; empty in the records of earlier versions.
    """

    name: str
    machine_id: str
    boot_id: str
    pid_namespace: str
    pid: int
    start_ticks: int
    command_line: tuple[str, ...]
    dialect: str
    version: str
    socket_path: str
    socket: int
    socket_file: tuple[tuple[int, int], ...]
    log_file: str
    unit: str
    cgroups: tuple[str, ...]
    options: dict[str, Any]
    address: str = ""

    def to_json(self) -> bytes:
        return json.dumps({"schema": _SCHEMA, **self._asdict()}, indent=1).encode() + b"\n"


def read_record(data: bytes, path: str) -> Record:
    """Raises Unreadable for what is no record of ours."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(path, f"it is no record of a daemon: {error}", _BY_HAND) from error
    if not isinstance(values, dict) or values.pop("schema", None) != _SCHEMA:
        raise Unreadable(path, "it is no record of a daemon, or of another version of this collection", _BY_HAND)
    values.setdefault("address", "")
    for name, fits in _FITS.items():
        if not fits(values.get(name)):
            raise Unreadable(path, f"it is no record of a daemon: its {name} is missing or of another type", _BY_HAND)
    known = {name: values[name] for name in Record._fields}
    for name in ("command_line", "cgroups"):
        known[name] = tuple(known[name])
    known["socket_file"] = tuple((int(device), int(inode)) for device, inode in known["socket_file"])
    return Record(**known)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_inodes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in value
    )


def _are_words(value: Any) -> bool:
    return _are_texts(value) and bool(value)


def _are_options(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in value and _OPTION_FITS.get(name, _is_text)(value[name]) for name in OPTIONS
    )


_OPTION_FITS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("announce_submounts", "posix_lock", "xattr", "syslog"), _is_flag),
    **dict.fromkeys(("cache", "sandbox_mode"), lambda value: value is None or _is_text(value)),
    "thread_pool_size": lambda value: value is None or _is_number(value),
    "extra_args": _are_texts,
}


_FITS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(Record._fields, _is_text),
    **dict.fromkeys(("pid", "start_ticks", "socket"), _is_number),
    "command_line": _are_words,
    "cgroups": _are_texts,
    "socket_file": _are_inodes,
    "options": _are_options,
}


def refuse_another_hosts(record: Record, path: str, machine_id: str) -> None:
    """A record that was copied here says nothing about this host's processes (safety.md F2)."""
    if record.machine_id != machine_id:
        raise NotProved(path, "this record was made on another host", _BY_HAND)
