# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object.printable import (
    json_of,
    on_one_line,
    printable,
)

ODD = "a\x1b[31m\n\u202eb\udcff\x9b\ud800"
SHOWN = r"a\x1b[31m\n\u202eb\xff\x9b\ud800"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"msg": ODD}, {"msg": SHOWN}),
        ({"evidence": [ODD, {ODD: 1}]}, {"evidence": [SHOWN, {SHOWN: 1}]}),
        ((ODD,), [SHOWN]),
        ({"msg": "Bücher, 日本, 😀, \\n"}, {"msg": "Bücher, 日本, 😀, \\n"}),
        ({"diff": [{"before": "a\n\tb\x1b\n"}]}, {"diff": [{"before": "a\n\tb\\x1b\n"}]}),
        ({"diff": [{"before_header": "a\nb"}]}, {"diff": [{"before_header": "a\\nb"}]}),
        # what is given again: as it is, but for what no result can hold
        ({"documents": {"env": "\x1b\n\udcff"}}, {"documents": {"env": "\x1b\n\\xff"}}),
        ({"plan": {"steps": [{"before": "a\x1b"}]}}, {"plan": {"steps": [{"before": "a\x1b"}]}}),
        ({"size": 1, "age": None, "is": True}, {"size": 1, "age": None, "is": True}),
    ],
    ids=ascii,
)
def test_what_a_result_shows(value: Any, shown: Any) -> None:
    assert printable(value) == shown
    assert json.loads(json_of(value)) == shown
    json.dumps(printable(value), ensure_ascii=False).encode("utf-8")


def test_what_has_nothing_odd_is_not_copied() -> None:
    value = {"msg": "Sandbox 'web-1': it is gone."}
    assert printable(value) is value


def test_a_line_stays_one() -> None:
    assert on_one_line("bundle    /run/a b") == "bundle    /run/a b"
    assert on_one_line("bundle    /run/a\nstate     /run/b") == r"bundle    /run/a\nstate     /run/b"
