# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as Go's encoding/json writes it, byte for byte: what the runtimes' own documents look like."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, Unreadable

# Go escapes these inside texts so that the JSON can stand in HTML and JavaScript; Python's encoder does not.
_GO_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_GO_ESCAPED = re.compile("[<>&\u2028\u2029]")
_PYTHON_SHORT = re.compile(r"(?<!\\)((?:\\\\)*)\\([bf])")  # \b and \f: Go up to 1.21 writes \u0008 and \u000c
_MOST_LEVELS = 200  # no runtime writes more than a dozen
_SHORT_FORMS = {"b": "\\u0008", "f": "\\u000c"}


def encode(document: Any, where: str) -> bytes:
    """Compact JSON in the order of the given mapping, without a final newline.

    where: the option that holds the document. Raises InvalidInput for what JSON cannot hold.
    """
    if _deeper_than(document, _MOST_LEVELS):
        raise InvalidInput(where, f"it is nested deeper than {_MOST_LEVELS} levels", "Give another value.")
    pieces: list[str] = []
    _write(document, where, pieces)
    try:
        return "".join(pieces).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(where, "a text in it is not valid Unicode", "Give another text.") from error


def _write(value: Any, where: str, pieces: list[str]) -> None:
    if isinstance(value, dict):
        pieces.append("{")
        for number, (key, element) in enumerate(value.items()):
            if not isinstance(key, str):
                raise InvalidInput(where, f"the key {key!r} is not a text", f'Quote it: "{key}".')
            pieces.append(f"{',' if number else ''}{_text(key)}:")
            _write(element, f"{where}.{key}", pieces)
        pieces.append("}")
    elif isinstance(value, (list, tuple)):
        pieces.append("[")
        for number, element in enumerate(value):
            pieces.append("," if number else "")
            _write(element, f"{where}[{number}]", pieces)
        pieces.append("]")
    else:
        pieces.append(_scalar(value, where))


def _scalar(value: Any, where: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _number(value, where)
    raise InvalidInput(where, f"a {type(value).__name__} cannot stand in a JSON document", "Quote it if it is a text.")


def _text(value: str) -> str:
    plain = json.dumps(value, ensure_ascii=False)
    if "\\" in plain:
        plain = _PYTHON_SHORT.sub(lambda found: found[1] + _SHORT_FORMS[found[2]], plain)
    return _GO_ESCAPED.sub(lambda found: _GO_ESCAPES[found[0]], plain)


def _number(value: float, where: str) -> str:
    """A float64 as Go writes it: plain digits from 1e-6 up to 1e21, an exponent of no leading zero outside."""
    if not math.isfinite(value):
        raise InvalidInput(where, f"{value} cannot stand in a JSON document", "Give another value.")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits = repr(value)
    if 1e-6 <= abs(value) < 1e21:
        return _without_exponent(digits)
    mantissa, _mark, exponent = digits.partition("e")
    if mantissa.endswith(".0"):
        mantissa = mantissa[:-2]
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa}e{sign}{exponent.lstrip('+-').lstrip('0').zfill(1 if sign == '-' else 2)}"


def _without_exponent(digits: str) -> str:
    mantissa, _mark, exponent = digits.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _point, fraction = mantissa.lstrip("-").partition(".")
    shift = int(exponent or 0)
    number = whole + fraction
    point = len(whole) + shift
    if point <= 0:
        number, point = "0" * (1 - point) + number, 1
    number = number.ljust(point, "0")
    rest = number[point:].rstrip("0")
    return f"{sign}{number[:point].lstrip('0') or '0'}{'.' + rest if rest else ''}"


def decode(data: bytes, where: str) -> Any:
    """The value of a JSON document; Unreadable, in words, for an empty, cut or otherwise wrong one."""
    if not data.strip():
        raise Unreadable(where, f"it is empty ({len(data)} bytes)")
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable(where, f"it is not UTF-8 (at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise Unreadable(where, f"it is not valid JSON ({error.msg} at byte {error.pos} of {len(data)})") from error
    except (RecursionError, ValueError) as error:
        raise Unreadable(where, "it is nested too deeply or has a number that JSON does not know") from error
    # Few brackets cannot nest deeply, and nearly every document has few enough.
    if data.count(b"[") + data.count(b"{") > _MOST_LEVELS and _deeper_than(value, _MOST_LEVELS):
        raise Unreadable(where, f"it is nested deeper than {_MOST_LEVELS} levels")
    return value


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    if levels == 0:
        return True
    elements = value.values() if isinstance(value, dict) else value
    return any(_deeper_than(element, levels - 1) for element in elements)


def _refuse_constant(name: str) -> float:
    """Python reads NaN and Infinity; Go does not, and no JSON reader could read our answer."""
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse_constant(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values mean the same: order of keys does not count, true is not 1, 1 and 1.0 are one number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other) or _written_as(one, other) or _written_as(other, one)


def _written_as(value: Any, number: Any) -> bool:
    """Whether a large float is written as these digits, whose value differs a little from its own."""
    if not isinstance(value, float) or not isinstance(number, int) or not 2**53 < abs(value) < 1e21:
        return False
    return _number(value, "") == str(number)
