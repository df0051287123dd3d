# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags of Go programs, as runsc and the shims have them."""

from __future__ import annotations


def option_of(argv: tuple[str, ...], name: str) -> str:
    """The value of a flag: -name=X, --name=X, -name X, --name X; empty when it is not given."""
    for position, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            return value if equals else "".join(argv[position + 1 : position + 2])
    return ""
