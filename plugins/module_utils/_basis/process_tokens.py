# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a name in an argument, a path or a cgroup of a process (safety.md A8)."""

from __future__ import annotations

from functools import lru_cache

_KEPT = 4096  # bytes of an argument


def argument_tokens(text: str) -> frozenset[str]:
    """What counts as a whole token in an argument or a path; the table is in ProcessTable.carrying."""
    # The same programs are met again at each look; what is longer is not worth keeping.
    return _known_argument_tokens(text) if len(text) < _KEPT else _argument_tokens(text)


def _argument_tokens(text: str) -> frozenset[str]:
    pieces = {text, text.partition("=")[2]}
    # Cut once at each place, never every suffix: a hostile argument of 100,000 "=" must stay linear.
    for field in text.split(","):
        values = field.split("=")
        pieces.update((field, field.partition("=")[2]), values[1:])  # what stands before "=" is no value
    for separator in ":", "/":
        if separator in text:
            for piece in list(pieces):
                pieces.update(piece.split(separator))
    pieces.discard("")
    return frozenset(pieces)


_known_argument_tokens = lru_cache(maxsize=4096)(_argument_tokens)


@lru_cache(maxsize=4096)
def cgroup_tokens(path: str) -> frozenset[str]:
    """The names that a cgroup path may carry; the table is in ProcessTable.carrying."""
    tokens = set()
    for component in path.split("/"):
        tokens.add(component)
        names = [component, component[: -len(".scope")]] if component.endswith(".scope") else [component]
        parts = component.split(":")
        if len(parts) == 3:
            names.append(parts[2])
        for name in names:
            tokens.add(name)
            tokens.add(name.partition("_")[2])
        if component.endswith(".scope"):
            pieces = names[1].split("-")
            tokens.update("-".join(pieces[at:]) for at in range(1, len(pieces)))
    tokens.discard("")
    return frozenset(tokens)
