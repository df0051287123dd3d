# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user wants of a daemon, checked as far as that can be done before anything is touched."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import transient_units
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.listening import check_socket_path
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import masked_arguments
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.syscalls import CLONE_NEWNET, namespace_type
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import (
    C,
    Dialect,
    Share,
    check_share,
    command_line,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_programs import (
    ask,
    dialect_wanted,
    find_executable,
)

_NETWORK_NAMESPACES = "/run/netns"
_SYSLOG = "/dev/log"
_MAY_BE_SECRET = ("extra_args", "on_quit")
_PATHS = ("socket_path", "shared_dir", "executable", "log_file", "network_namespace")


class DaemonWish(NamedTuple):
    """state: started, stopped or restarted. share: None where the daemon is to be stopped, or to be restarted as it
    was. stop_timeout: seconds from SIGTERM to SIGKILL. force: although a client is connected. restart: where it runs
    with other options (on_change)."""

    name: str
    state: str
    stop_timeout: float
    force: bool = False
    restart: bool = False
    socket_path: str = ""
    share: Share | None = None
    executable: str | None = None
    dialect: str = "auto"
    log_file: str = ""
    network_namespace: str = ""
    on_quit: str = ""


class Order(NamedTuple):
    """What is to be started. options: what was asked for, by name, to be recorded and compared."""

    name: str
    socket_path: str
    command_line: tuple[str, ...]
    dialect: Dialect
    log_file: str
    network_namespace: str
    on_quit: tuple[str, ...]
    options: dict[str, Any]


def order_of(wish: DaemonWish) -> Order:
    """Check everything that can be checked beforehand, and spell it for the daemon. Raises InvalidInput."""
    if wish.share is None:
        raise InvalidInput("shared_dir", "it is missing", "Give the directory that is to be shared.")
    executable = find_executable(wish.executable)
    _check_socket(wish.socket_path)
    _check_shared(wish.share.shared_dir)
    dialect = dialect_wanted(executable, wish.dialect)
    check_share(wish.share, dialect)
    if wish.log_file:
        _check_folder(wish.log_file, "log_file")
        if os.path.isdir(wish.log_file):
            raise InvalidInput("log_file", f"{wish.log_file} is a directory", "Give the path of a file.")
    elif not wish.share.syslog:
        raise InvalidInput("syslog", "without it and without log_file its output would be lost", "Give log_file.")
    elif dialect.name == C and not os.path.exists(_SYSLOG):
        why = f"{_SYSLOG} does not exist, and the virtiofsd in C dies without it as soon as a client connects"
        raise InvalidInput("syslog", why, "Give log_file.")
    return Order(
        wish.name,
        wish.socket_path,
        command_line(executable, wish.share, dialect),
        dialect,
        wish.log_file,
        _network_namespace(wish.network_namespace),
        _command_on_quit(wish.on_quit),
        _options(wish, executable, dialect, wish.share),
    )


def _options(wish: DaemonWish, executable: str, dialect: Dialect, share: Share) -> dict[str, Any]:
    return {
        "socket_path": wish.socket_path,
        **share._replace(extra_args=())._asdict(),
        "extra_args": list(share.extra_args),
        "executable": executable,
        "dialect": dialect.name,
        "log_file": wish.log_file,
        "network_namespace": wish.network_namespace,
        "on_quit": wish.on_quit,
    }


def again(options: dict[str, Any], wish: DaemonWish) -> DaemonWish:
    """The wish for the same daemon once more, from what was recorded of it."""
    values: dict[str, Any] = {key: options[key] for key in Share._fields}
    share = Share(**{**values, "extra_args": tuple(options["extra_args"])})
    same = ("socket_path", "executable", "log_file", "network_namespace", "on_quit")
    # An upgrade may have put the other one there. Only of a program that does not tell, the user did.
    dialect = "auto" if ask(options["executable"]) else options["dialect"]
    return wish._replace(share=share, dialect=dialect, **{key: options[key] for key in same})


def plain_path(path: str, is_directory: bool = False) -> str:
    """A path without slashes that mean nothing. Links and dots stay: what ".." is depends on what is linked."""
    plain = re.sub("/+", "/", path)
    return plain[:-1] if is_directory and len(plain) > 1 and plain.endswith("/") else plain


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """In which options two daemons differ, in words; empty where in none."""
    texts = []
    for name, value in new.items():
        if _compared(name, old.get(name)) != _compared(name, value):
            shown = "" if name in _MAY_BE_SECRET else f" ({_shown(old.get(name))}, and {_shown(value)} is wanted)"
            texts.append(f"{name}{shown}")
    return ", ".join(texts)


def _compared(name: str, value: Any) -> Any:
    """An option's value in the one spelling that counts."""
    if name not in _PATHS or not value:
        return value
    return plain_path(_namespace_path(value) if name == "network_namespace" else value, name == "shared_dir")


def _namespace_path(given: str) -> str:
    return given if "/" in given else os.path.join(_NETWORK_NAMESPACES, given)


def _shown(value: Any) -> str:
    return "unset" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)


def _check_socket(path: str) -> None:
    if not path:
        raise InvalidInput("socket_path", "it is missing", "Give the path of the socket that the VMM connects to.")
    check_socket_path(path, "socket_path")
    _check_folder(path, "socket_path")


def _check_folder(path: str, option: str) -> None:
    if not path.startswith("/") or path.endswith("/"):
        raise InvalidInput(option, f"'{path}' is no absolute path of a file", "Give one.")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise InvalidInput(option, f"its directory {folder} does not exist", "Make it first.")


def _check_shared(path: str) -> None:
    if not path.startswith("/"):
        raise InvalidInput("shared_dir", f"'{path}' is no absolute path", "Give the directory that is to be shared.")
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise InvalidInput("shared_dir", f"{path}: {os_reason(error)}", "Give a directory that is there.") from error


def _network_namespace(given: str) -> str:
    """The path of a network namespace that is given by name or path; empty for that of this task."""
    if not given:
        return ""
    path = _namespace_path(given)
    try:
        is_one = namespace_type(path) == CLONE_NEWNET
    except OSError as error:
        raise InvalidInput("network_namespace", f"{path}: {os_reason(error)}", "Give its name or path.") from error
    if not is_one:
        raise InvalidInput("network_namespace", f"{path} is no network namespace", "Give its name or path.")
    return path


def _command_on_quit(given: str) -> tuple[str, ...]:
    if not given:
        return ()
    if not transient_units.is_booted():
        why = "the command is carried out by the daemon's transient unit, and no systemd runs here"
        raise InvalidInput("on_quit", why, "Leave it out.")
    try:
        words = tuple(shlex.split(given))
    except ValueError as error:
        raise InvalidInput("on_quit", f"it cannot be split into words: {error}", "Mind its quotes.") from error
    if not words or not words[0].startswith("/") or not os.path.isfile(words[0]) or not os.access(words[0], os.X_OK):
        shown = " ".join(masked_arguments(given.split(" ")))
        raise InvalidInput("on_quit", f"'{shown}' does not begin with the absolute path of a program", "Give it.")
    return words
