# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import NotProved, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import (
    OPTIONS,
    Record,
    read_record,
    refuse_another_hosts,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_virtiofsd import RECORD

PATH = "/r/web.json"


def written(**changes: Any) -> bytes:
    return json.dumps({**json.loads(RECORD.to_json()), **changes}).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        read_record(data, PATH)
    text = str(refused.value)
    assert text.startswith(f"{PATH}: ") and "remove it by hand" in text
    return text


def test_a_record_is_read_as_it_was_written() -> None:
    data = RECORD.to_json()
    assert data.endswith(b"}\n") and b'"schema": 1' in data
    assert read_record(data, PATH) == RECORD
    unit = RECORD._replace(unit="u.service", cgroups=(), socket_file=(), pid=0, start_ticks=0, log_file="")
    assert read_record(unit.to_json(), PATH) == unit


def test_what_a_later_collection_adds_is_left_alone() -> None:
    assert read_record(written(further=1), PATH) == RECORD


def test_a_record_of_an_earlier_version_has_no_address() -> None:
    values = json.loads(RECORD.to_json())
    del values["address"]
    assert read_record(json.dumps(values).encode(), PATH) == RECORD._replace(address="")


@pytest.mark.parametrize("name", [name for name in Record._fields if name not in Record._field_defaults])
def test_a_field_that_is_missing(name: str) -> None:
    values = json.loads(RECORD.to_json())
    del values[name]
    assert f"its {name} is missing or of another type" in refusal(json.dumps(values).encode())


WRONG: dict[str, list[Any]] = {
    **{key: [None, 5, ["x"], {}] for key in Record._fields},
    **{key: [None, "5", 5.5, True, [5]] for key in ("pid", "start_ticks", "socket")},
    "command_line": [None, "v", [], [5], ["v", None]],  # empty: every kernel thread would match it
    "cgroups": [None, "/c", [5]],
    "socket_file": [None, [5], [[1]], [[1, 2, 3]], [["1", "2"]], [[True, 2]], {"1": 2}],
    "options": [None, [], "x", {}],
}


@pytest.mark.parametrize("name", Record._fields)
def test_a_field_of_another_type(name: str) -> None:
    for value in WRONG[name]:
        assert f"its {name} is missing or of another type" in refusal(written(**{name: value})), value


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_option_that_is_missing_or_of_another_type(name: str) -> None:
    options = {key: value for key, value in RECORD.options.items() if key != name}
    assert "its options is missing or of another type" in refusal(written(options=options))
    wrong: list[Any] = [{}, 5.5, [5]]
    for value in wrong:
        assert "its options is missing" in refusal(written(options={**options, name: value})), value


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is no record of a daemon: "),
        (b'{"schema": 1', "it is no record of a daemon: "),
        (b"\xff\xfe", "it is no record of a daemon: "),
        (b"[" * 100000, "it is no record of a daemon: "),
        (b'{"a":' * 100000, "it is no record of a daemon: "),
        (b"[]", "or of another version of this collection"),
        (b"null", "or of another version of this collection"),
        (b"{}", "or of another version of this collection"),
    ],
    ids=["empty", "cut", "no text", "deep list", "deep object", "list", "null", "no schema"],
)
def test_what_is_no_record(data: bytes, text: str) -> None:
    assert text in refusal(data)


@pytest.mark.parametrize("schema", [0, 2, "1", None, [1]], ids=repr)
def test_another_schema(schema: Any) -> None:
    assert "or of another version of this collection" in refusal(written(schema=schema))


def test_F2_a_record_of_another_host_says_nothing_about_this_one() -> None:
    refuse_another_hosts(RECORD, PATH, RECORD.machine_id)
    for machine_id in ("another", ""):
        with pytest.raises(NotProved) as refused:
            refuse_another_hosts(RECORD, PATH, machine_id)
        assert str(refused.value).startswith(f"{PATH}: this record was made on another host. Look at it")
