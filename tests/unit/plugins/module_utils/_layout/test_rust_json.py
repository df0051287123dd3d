# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.rust_json import encode

# What serde_json's to_writer_pretty makes of a value whose objects are BTreeMaps (kata-runtime-rs.md).
PRETTY = """\
{
  "empty": [],
  "hypervisor": {
    "config": {},
    "id": "web-1",
    "jailed": false,
    "pid": 4711,
    "uuid": null
  },
  "resource": {
    "endpoint": [
      1,
      [
        "a"
      ]
    ]
  }
}"""


def test_RS4_a_document_as_the_rust_runtime_writes_it() -> None:
    value = {
        "empty": [],
        "hypervisor": {"config": {}, "id": "web-1", "jailed": False, "pid": 4711, "uuid": None},
        "resource": {"endpoint": [1, ["a"]]},
    }
    assert encode(value, "here") == PRETTY.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-1, "-1"), (2**64 - 1, "18446744073709551615"), (True, "true"), (False, "false"), (None, "null"),
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (0.1, "0.1"), (1e15, "1000000000000000.0"), (1e16, "1e+16"),
        (1.5e22, "1.5e+22"), (1.7976931348623157e308, "1.7976931348623157e+308"), (1e-4, "0.0001"), (1e-5, "0.00001"),
        (-1.5e-5, "-0.000015"), (9.99e-5, "0.0000999"), (1e-6, "1e-6"), (1.25e-7, "1.25e-7"), (-1e-9, "-1e-9"),
        (1e-10, "1e-10"), (5e-324, "5e-324"),
    ],
    ids=repr,
)  # fmt: skip
def test_numbers_as_rust_writes_them(value: Any, text: str) -> None:
    """serde_json 1.0.149, the one of Kata 4.1, writes them by zmij."""
    assert encode(value, "here") == text.encode()
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'), ("<&>", '"<&>"'), ("\u2028", '"\u2028"'), ("ä€", '"ä€"'), ("\b\f\n\r\t", r'"\b\f\n\r\t"'),
        ("\x00\x1f\x7f", '"\\u0000\\u001f\x7f"'), ('"\\/', r'"\"\\/"'), ("1e-05", '"1e-05"'),
        ('"1e-05', r'"\"1e-05"'), ("\\", r'"\\"'), ("at 1e-05\\", r'"at 1e-05\\"'),
    ],
    ids=ascii,
)  # fmt: skip
def test_texts_as_rust_writes_them(value: str, text: str) -> None:
    assert encode(value, "here") == text.encode()
    assert encode({value: [value]}, "here") == f"{{\n  {text}: [\n    {text}\n  ]\n}}".encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, b"bytes", "\ud800", {"a": ["\ud800"]}], ids=repr)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^documents\.state"):
        encode({"a": value}, "documents.state")
