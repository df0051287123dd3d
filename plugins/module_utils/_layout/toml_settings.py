# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few settings of a TOML document (toml.io, v1.0.0), where Python has no reader before 3.11.

What is written in a way that is not understood here makes the document unreadable, and never a setting absent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable

_MOST_BYTES = 1 << 20
_TOKEN = re.compile(
    r"""
    (?P<blank> [ \t\r]+ | \#[^\n]* )
  | (?P<line> \n )
  | (?P<long> \"{3} (?: [^\\] | \\. )*? \"{3,5} | '{3} .*? '{3,5} )
  | (?P<text> " (?: [^"\\\x00-\x08\n-\x1f\x7f] | \\. )* " | '[^'\x00-\x08\n-\x1f\x7f]*' )
  | (?P<word> [A-Za-z0-9_+:-]+ )
  | (?P<sign> [\[\]{}=,.] )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_WAY_OUT = 'Write it as name = "value" on a line of its own.'


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class Setting(NamedTuple):
    """key: its parts, without those of the table that it stands in. values: one text, or those of an array."""

    key: tuple[str, ...]
    values: tuple[str, ...]


def settings_of(data: bytes, path: str, names: Collection[str], is_top_only: bool = False) -> list[Setting]:
    """The settings whose last part is one of these names, in their order.

    is_top_only: those before the first table alone, whose key has one part. Raises Unreadable.
    """
    if len(data) > _MOST_BYTES:
        raise Unreadable(path, f"it has {len(data)} bytes, more than {_MOST_BYTES}")
    found = []
    for statement in _statements(data.decode("utf-8-sig", "surrogateescape"), path):
        if statement[0].text == "[":
            if is_top_only:
                break
            continue
        setting = _setting(statement, path, names)
        if setting is not None and not (is_top_only and len(setting.key) > 1):
            found.append(setting)
    return found


def _statements(text: str, path: str) -> Iterator[list[_Token]]:
    """The tokens of each statement: an array or an inline table goes over more lines than one."""
    statement: list[_Token] = []
    depth, line = 0, 1
    for match in _TOKEN.finditer(text):
        kind, token = str(match.lastgroup), match.group()
        if kind == "other":
            raise Unreadable(path, f"line {line} is no TOML that is understood here", _WAY_OUT)
        if kind == "sign" and statement:  # the brackets of a table's name close in its own line
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        if kind == "line" and depth <= 0:
            if statement:
                yield statement
            statement, depth = [], 0
        elif kind not in ("line", "blank"):
            statement.append(_Token(kind, token, line))
        line += token.count("\n")
    if statement:
        yield statement


def _setting(statement: list[_Token], path: str, names: Collection[str]) -> Setting | None:
    at = next((place for place, token in enumerate(statement) if token.text == "=" and token.kind == "sign"), None)
    if at is None:
        return None
    key = tuple(_plain(token, path) for token in statement[:at] if token.text != ".")
    values = statement[at + 1 :]
    where = f"line {statement[0].line}"
    if not key or key[-1] not in names:
        if any(_names(one, two, names, path) for one, two in zip(values, values[1:])):
            raise Unreadable(path, f"{where} has a table in one line", _WAY_OUT)
        return None
    if len(values) == 1 and values[0].kind == "text":
        return Setting(key, (_plain(values[0], path),))
    inner = values[1:-1]
    is_array = len(values) > 1 and (values[0].text, values[-1].text) == ("[", "]")
    if not is_array or any(token.kind != "text" and token.text != "," for token in inner):
        raise Unreadable(path, f"{where} sets {key[-1]} to what is not understood here", _WAY_OUT)
    return Setting(key, tuple(_plain(token, path) for token in inner if token.kind == "text"))


def _names(one: _Token, two: _Token, names: Collection[str], path: str) -> bool:
    """Whether these are one of the names and the sign after it, as in an inline table."""
    return two.text == "=" and two.kind == "sign" and one.kind in ("word", "text") and _plain(one, path) in names


def _plain(token: _Token, path: str) -> str:
    """A key or a text as it is meant; one with an escape is not understood."""
    if token.kind == "long" or (token.text[0] == '"' and "\\" in token.text):
        raise Unreadable(path, f"line {token.line} has a text that is not understood here", _WAY_OUT)
    return token.text[1:-1] if token.kind == "text" else token.text
