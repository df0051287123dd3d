# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.go_json import decode, encode, same

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))


@pytest.mark.parametrize("path", FIXTURES, ids=[path.stem for path in FIXTURES])
def test_R3_a_real_document_is_encoded_to_the_same_bytes(path: Path) -> None:
    data = path.read_bytes()
    newline = b"\n" if data.endswith(b"\n") else b""
    assert encode(decode(data, "here"), "here") + newline == data


def test_there_are_real_documents() -> None:
    assert len(FIXTURES) >= 8


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (-1.0, "-1"), (0.1, "0.1"), (-0.1, "-0.1"), (1.5, "1.5"), (100.0, "100"),
        (1e20, "100000000000000000000"), (123456789012345680000.0, "123456789012345680000"),
        (999999999999999900000.0, "999999999999999900000"), (1e21, "1e+21"), (-1e21, "-1e+21"), (1.5e21, "1.5e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (1e100, "1e+100"), (1e-6, "0.000001"),
        (1.5e-6, "0.0000015"), (1.234e-5, "0.00001234"), (0.000123, "0.000123"), (9.99e-7, "9.99e-7"), (1e-7, "1e-7"),
        (-1e-7, "-1e-7"), (1.5e-10, "1.5e-10"), (5e-324, "5e-324"), (1e16, "10000000000000000"),
        (12345678901234567.0, "12345678901234568"), (0.30000000000000004, "0.30000000000000004"),
        (1e15, "1000000000000000"),
    ],
    ids=repr,
)  # fmt: skip
def test_numbers_with_a_fraction_as_go_writes_them(value: float, text: str) -> None:
    assert encode(value, "here") == text.encode()
    assert float(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-1, "-1"), (4294967295, "4294967295"), (2**63, "9223372036854775808"), (True, "true"),
        (False, "false"), (None, "null"), ("", '""'), ({}, "{}"), ([], "[]"), ((), "[]"), ([1, [2]], "[1,[2]]"),
        ({"b": 1, "a": {"c": None}}, '{"b":1,"a":{"c":null}}'), ([{}, {}], "[{},{}]"),
    ],
    ids=repr,
)  # fmt: skip
def test_compact_and_in_the_given_order(value: Any, text: str) -> None:
    assert encode(value, "here") == text.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a>&b", r"\u003ca\u003e\u0026b"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ('"', r"\""),
        ("\\", r"\\"),
        ("/", "/"),
        ("\n\r\t", r"\n\r\t"),
        ("\b\f", r"\u0008\u000c"),
        ("\b\b", r"\u0008\u0008"),
        ("\\b", r"\\b"),
        ("\\\b", r"\\\u0008"),
        ("\\\\b\f", r"\\\\b\u000c"),
        ("\x00\x01\x1f", r"\u0000\u0001\u001f"),
        ("\x7f", "\x7f"),
        ("é€😀", "é€😀"),
    ],
    ids=ascii,
)
def test_escapes_as_go_writes_them_in_texts_and_keys(value: str, text: str) -> None:
    assert encode(value, "here") == f'"{text}"'.encode()
    assert encode({value: 1}, "here") == f'{{"{text}":1}}'.encode()
    assert decode(encode(value, "here"), "here") == value


@pytest.mark.parametrize(
    ("value", "where", "why"),
    [
        ({"a": {1: 2}}, "d.a", "the key 1 is not a text"),
        ({"a": [0, math.nan]}, "d.a[1]", "nan"),
        ({"a": math.inf}, "d.a", "inf"),
        ({"a": {"b": b"x"}}, "d.a.b", "bytes"),
        ({"a": {1, 2}}, "d.a", "set"),
        ({"a": "\ud800"}, "d", "not valid Unicode"),
    ],
    ids=["key", "nan", "infinity", "bytes", "set", "surrogate"],
)
def test_what_json_cannot_hold_is_named_with_its_place(value: Any, where: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        encode(value, "d")
    assert caught.value.where == where and why in caught.value.why


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty (0 bytes)"),
        (b" \n", "it is empty (2 bytes)"),
        (b"\0\0\0", "not valid JSON"),
        (b'{"id":"c1","spec', "not valid JSON"),
        (b'{"id":"c1"}}', "not valid JSON"),
        (b'{"id":1,}', "not valid JSON"),
        (b"\xff\xfe", "not UTF-8 (at byte 0)"),
        (b'{"id":"\xc3', "not UTF-8 (at byte 7)"),
        (b"\xef\xbb\xbf{}", ""),
        (b"[" * 200_000, "too deeply"),
        (b'{"a":NaN}', "number"),
        (b'{"a":-Infinity}', "number"),
        (b'{"a":1e999}', ""),
    ],
    ids=[
        "empty", "blank", "zeros", "cut", "two ends", "comma", "UTF-16", "cut letter", "byte order mark", "deep", "NaN",
        "infinity", "too large a number",
    ],
)  # fmt: skip
def test_promise_7_what_cannot_be_read_is_said_in_words(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(data, "/run/x.state")
    assert caught.value.where == "/run/x.state" and why in caught.value.why


def test_a_document_with_blanks_and_a_newline_is_read() -> None:
    assert decode(b' {"a" : [1, 2.5]}\n', "here") == {"a": [1, 2.5]}


def test_whatever_can_be_read_can_be_compared_and_written(tmp_path: Path) -> None:
    """A nesting that the reader takes must not break what comes after it."""
    for depth in (50, 500, 900, 5000):
        data = b'{"a":' * depth + b"1" + b"}" * depth
        try:
            value = decode(data, "here")
        except Unreadable:
            continue
        assert encode(value, "here") == data
        assert same(value, decode(data, "here"))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ([1, 2], [1, 2, 3], False),
        ([1], (1,), True),
        (True, 1, False),
        (False, 0, False),
        (0, False, False),
        (True, True, True),
        ({"a": [True]}, {"a": [1]}, False),
        (1, 1.0, True),
        (1, "1", False),
        (None, False, False),
        (None, None, True),
        (None, {}, False),
        ({}, [], False),
        ("", None, False),
        (2**53, float(2**53), True),
        (2**53 + 1, float(2**53), False),
        (53955395697057210, 5.395539569705721e16, True),
        (53955395697057211, 5.395539569705721e16, False),
        ({"a": {"b": [1, {"c": "d"}]}}, {"a": {"b": [1, {"c": "d"}]}}, True),
        ({"a": {"b": [1, {"c": "d"}]}}, {"a": {"b": [1, {"c": "e"}]}}, False),
    ],
)
def test_same_meaning(one: Any, other: Any, expected: bool) -> None:
    pair = (one, other)
    assert [same(*pair), same(*reversed(pair))] == [expected, expected]


@pytest.mark.parametrize("path", FIXTURES, ids=[path.stem for path in FIXTURES])
def test_pretty_printed_and_sorted_it_still_means_the_same(path: Path) -> None:
    value = decode(path.read_bytes(), "here")
    assert same(value, json.loads(json.dumps(value, indent=4, sort_keys=True)))


def test_encode_does_not_change_its_argument() -> None:
    value = {"b": [1.0, {"a": "<"}]}
    go_json.encode(value, "here")
    assert value == {"b": [1.0, {"a": "<"}]}
