# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a containerd was told to keep its directories: by its configuration, and what that imports (safety.md A10)."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_followed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_flags import command_of, options_of
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.toml_settings import settings_of

_IMPORTS_DEEP = 8
_NAMES = ("root", "state", "imports")
_WITH_VALUE = ("config", "c", "address", "a", "root", "state", "log-level", "l")


def is_daemon(argv: tuple[str, ...]) -> bool:
    """Whether this containerd serves: `containerd publish` and the like, which shims call, keep nothing."""
    return not command_of(argv, _WITH_VALUE)


def told_by_arguments(argv: tuple[str, ...], name: str) -> str:
    """The value of an option of containerd's, the last one as it counts there; empty when it is not given."""
    return (options_of(argv, name) or [""])[-1]


def read_settings(host_root: str, path: str, is_needed: bool = False, depth: int = 0) -> dict[str, str] | None:
    """root and state, as far as they stand before the first table of that file, and of what it imports. None where it
    is empty or not there.

    is_needed: a running daemon was told to read it, so that it cannot be absent. Raises StateError.
    """
    if depth > _IMPORTS_DEEP:
        raise Unreadable(path, "it is imported by too many others")
    data = read_followed(host_root, path, is_needed)
    if not data:
        return None
    found: dict[str, str] = {}
    imports: list[str] = []
    for setting in settings_of(data, path, _NAMES, is_top_only=True):
        if setting.key == ("imports",):
            imports += setting.values
        elif len(setting.values) == 1:
            found[setting.key[0]] = setting.values[0]
    for pattern in imports:
        for imported in _matching(host_root, os.path.join(os.path.dirname(path), pattern)):
            found.update(read_settings(host_root, imported, False, depth + 1) or {})
    return found


def _matching(host_root: str, pattern: str) -> list[str]:
    """The files of a host that a pattern of an import means, in their order. Raises StateError."""
    folder, name = os.path.split(pattern)
    if re.search(r"[*?\[]", folder):
        raise Unreadable(pattern, "which directories it means is not looked up")
    with open_below(host_root, folder) as directory:
        names = directory.listed() if directory.exists else []
    return [os.path.join(folder, one) for one in names if fnmatchcase(one, name)]
