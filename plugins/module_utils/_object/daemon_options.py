# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's parameters to daemons."""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_names,
    check_known_name,
    check_new_name,
    check_passable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import Share
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import NAMES
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon import Daemon
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_records import RunDir
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import DaemonWish, plain_path

DAEMON_OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["started", "stopped", "restarted"], "default": "started"},
    "name": {"type": "raw", "required": True},
    "socket_path": {"type": "path"},
    "shared_dir": {"type": "path"},
    "executable": {"type": "path"},
    "dialect": {"type": "str", "choices": ["auto", "rust", "c"], "default": "auto"},
    "cache": {"type": "str"},
    "sandbox_mode": {"type": "str", "choices": ["namespace", "chroot", "none"]},
    "thread_pool_size": {"type": "int"},
    "announce_submounts": {"type": "bool", "default": False},
    "posix_lock": {"type": "bool", "default": False},
    "xattr": {"type": "bool", "default": False},
    "syslog": {"type": "bool"},
    "log_file": {"type": "path"},
    "extra_args": {"type": "list", "elements": "str", "default": []},
    "network_namespace": {"type": "str"},
    "on_change": {"type": "str", "choices": ["refuse", "restart"], "default": "refuse"},
    "on_quit": {"type": "str"},
    "run_dir": {"type": "path"},
    "stop_timeout": {"type": "float", "default": 10},
    "force": {"type": "bool", "default": False},
}
_TEXTS = ("network_namespace", "on_quit")  # what is a path is asked for that where the task is made
# What says how a daemon is to be; without a share it is restarted as it was recorded, so none of them would count.
_HOW = (
    *(name for name in Share._fields if name != "shared_dir"),
    "executable", "dialect", "log_file", "network_namespace", "on_quit",
)  # fmt: skip


def items_of(params: dict[str, Any]) -> list[Daemon]:
    """The items of a task. Raises StateError for what cannot be used."""
    names = as_names(params["name"], "name", NAMES)
    state = params["state"]
    if state == "stopped":
        names = [check_known_name(name, "name", NAMES) for name in names]
    elif len(names) == 1:
        check_new_name(names[0], "name", NAMES)
    elif names:
        raise InvalidInput("name", "several names share everything only with state=stopped", "Give one.")
    for option in _TEXTS:
        check_passable(params[option] or "", option)
    run_dir = RunDir(params["host_root"], params["run_dir"])
    return [Daemon(_wish(name, params), run_dir) for name in names]


def _wish(name: str, params: dict[str, Any]) -> DaemonWish:
    timeout = params["stop_timeout"]
    if not math.isfinite(timeout) or timeout < 0:
        raise InvalidInput("stop_timeout", f"{timeout} is no number of seconds", "Give 0 or more.")
    wish = DaemonWish(name, params["state"], timeout, params["force"], params["on_change"] == "restart")
    if params["state"] == "stopped":
        return wish
    if params["socket_path"] is None and params["shared_dir"] is None and params["state"] == "restarted":
        given = [option for option in _HOW if params[option] != DAEMON_OPTIONS[option].get("default")]
        if given:
            raise InvalidInput(given[0], "it is given without a share", "Give socket_path and shared_dir as well.")
        return wish
    for option in ("socket_path", "shared_dir"):
        if not params[option]:
            raise InvalidInput(option, "it is missing", "Give socket_path and shared_dir.")
    return wish._replace(
        socket_path=plain_path(params["socket_path"]),
        share=_share(params),
        executable=params["executable"] and plain_path(params["executable"]),
        dialect=params["dialect"],
        log_file=plain_path(params["log_file"] or ""),
        network_namespace=plain_path(params["network_namespace"] or ""),
        on_quit=params["on_quit"] or "",
    )


def _share(params: dict[str, Any]) -> Share:
    size = params["thread_pool_size"]
    if size is not None and size < 0:
        raise InvalidInput("thread_pool_size", f"{size} is no number of threads", "Give 0 or more.")
    for number, argument in enumerate(params["extra_args"]):
        if not argument or "\0" in argument:
            raise InvalidInput(f"extra_args[{number}]", "it is empty or has a NUL", "Give one argument an element.")
        check_passable(argument, f"extra_args[{number}]")
    return Share(
        shared_dir=plain_path(params["shared_dir"], is_directory=True),
        cache=params["cache"],
        sandbox_mode=params["sandbox_mode"],
        thread_pool_size=size,
        announce_submounts=params["announce_submounts"],
        posix_lock=params["posix_lock"],
        xattr=params["xattr"],
        syslog=params["syslog"] if params["syslog"] is not None else not params["log_file"],
        extra_args=tuple(params["extra_args"]),
    )
