# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results that any controller takes and any terminal shows as they are.

Names of directories and of processes are any bytes that somebody on the host has chosen. A controller refuses a whole
result for one byte in it that is not UTF-8, also that of a removal which was made; a control character draws over what
a terminal shows, or makes one line look like two.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Lone surrogates are bytes that are not UTF-8. Beside them: C0, DEL and C1, Unicode's ends of lines and Bidi_Control.
_BYTES = "\ud800-\udfff"
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_ODD = f"[{_CONTROLS}\t\n{_BYTES}]"
_ODD_IN_LINES = f"[{_CONTROLS}{_BYTES}]"
_ODD_BYTES = f"[{_BYTES}]"
# What of them looks like in JSON that is ASCII alone; it also matches some that are none of them.
_IN_JSON = r"\\(?:u(?:00[0189]|007f|061c|20[026]|d[89a-f])|[bfnrt])"

# What is given again to a module has to be as it was, as far as JSON has a form for it.
_GIVEN_AGAIN = ("documents", "spec", "plan")
_OF_LINES = ("before", "after")


def printable(value: Any) -> Any:
    r"""A value of JSON with \n, \x1b or \xff in the place of each odd character of its texts."""
    return value if re.search(_IN_JSON, json.dumps(value)) is None else _cleaned(value, _ODD)


def json_of(value: Any) -> str:
    """The same as JSON that is ASCII alone."""
    text = json.dumps(value)
    return text if re.search(_IN_JSON, text) is None else json.dumps(_cleaned(value, _ODD))


def given_again(text: str) -> str:
    """A text as it comes back, where a result has what is given again to a module."""
    return text if text.isascii() else re.sub(_ODD_BYTES, _escape, text)


def on_one_line(text: str) -> str:
    """A text of which nothing is a line of its own."""
    return text if text.isprintable() else re.sub(_ODD, _escape, text)


def _cleaned(value: Any, odd: str) -> Any:
    if isinstance(value, str):
        return re.sub(odd, _escape, value)
    if isinstance(value, dict):
        return {re.sub(odd, _escape, str(key)): _cleaned(inner, _odd_in(key, odd)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(inner, odd) for inner in value]
    return value


def _odd_in(key: Any, odd: str) -> str:
    if key in _GIVEN_AGAIN or odd == _ODD_BYTES:
        return _ODD_BYTES
    return _ODD_IN_LINES if key in _OF_LINES else _ODD


def _escape(found: re.Match[str]) -> str:
    if "\udc80" <= found[0] <= "\udcff":  # os.fsdecode's form of a byte
        return f"\\x{ord(found[0]) - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")
