# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags of Go programs, as runsc, the engines and the shims have them."""

from __future__ import annotations

from collections.abc import Collection


def option_of(argv: tuple[str, ...], name: str) -> str:
    """The value of a flag: -name=X, --name=X, -name X, --name X; empty when it is not given."""
    return (options_of(argv, name) or [""])[0]


def options_of(argv: tuple[str, ...], name: str) -> list[str]:
    """Each value that it is given."""
    found = []
    for position, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            found.append(value if equals else "".join(argv[position + 1 : position + 2]))
    return found


def command_of(argv: tuple[str, ...], with_value: Collection[str]) -> str:
    """The first argument that is neither a flag nor a flag's value; empty where there is none.

    with_value: the flags that take one, as their names are.
    """
    is_value = False
    for argument in argv[1:]:
        if not argument.startswith("-") and not is_value:
            return argument
        is_value = not is_value and "=" not in argument and argument.lstrip("-") in with_value
    return ""
