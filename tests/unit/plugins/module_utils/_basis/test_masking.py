# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import MASK, masked, masked_arguments

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"env": ["A=hunter2", "B=", "C"]}, {"env": [f"A={MASK}", f"B={MASK}", f"C={MASK}"]}),
        ({"env": {"A": SECRET, "B": 7}}, {"env": {"A": MASK, "B": MASK}}),
        ({"envs": [{"key": "A", "value": SECRET}]}, {"envs": [{"key": MASK, "value": MASK}]}),
        ({"env": [{"name": "A", "value": SECRET}]}, {"env": [{"name": "A", "value": MASK}]}),
        ({"environment": [7]}, {"environment": [MASK]}),
        ({"process": {"env": ["A=b=hunter2"]}}, {"process": {"env": [f"A={MASK}"]}}),
        ([{"env": ["A=hunter2"]}], [{"env": [f"A={MASK}"]}]),
    ],
    ids=["list", "mapping", "unknown form", "name and value", "numbers", "nested, with =", "in a list"],
)
def test_values_of_environment_variables_are_masked(value: Any, shown: Any) -> None:
    before = copy.deepcopy(value)
    assert masked(value) == shown
    assert value == before, "the given document itself stays whole: it is what gets written"


@pytest.mark.parametrize(
    "key",
    [
        "password", "Password", "db_password", "dbPassword", "passwd", "passphrase", "pass", "secret", "clientSecret",
        "token", "auth-token", "api_key", "apiKey", "apikey", "private_key", "privateKey", "access_key", "credential",
        "credentials", "encryption_key",
    ],
)  # fmt: skip
def test_values_under_secret_keys_are_masked(key: str) -> None:
    assert masked({key: SECRET}) == {key: MASK}
    assert masked({key: [SECRET]}) == {key: [MASK]}


@pytest.mark.parametrize("value", [1234, 12.5, {"value": SECRET}, [{"value": SECRET}]], ids=repr)
def test_whatever_lies_under_a_secret_key_is_masked(value: Any) -> None:
    assert SECRET not in repr(masked({"password": value})) and "12" not in repr(masked({"password": value}))


def test_an_environment_given_as_one_text_is_masked() -> None:
    assert SECRET not in repr(masked({"env": f"A={SECRET}"}))


@pytest.mark.parametrize(
    "document",
    [
        {"id": "c1", "goferPid": 7, "sandbox": {"pid": 3, "cgroup": None}, "owner": "", "status": "running"},
        {"bypass": "no", "compass": "north", "keys": "a", "keyboard": "us", "hostname": "h", "envoy": "x"},
        {"mounts": [{"destination": "/proc", "type": "proc", "source": "/a=b"}], "monkey": "m"},
        {"password": "", "token": None},
        {"args": ["sh", "-c", "sleep 600", "--verbose", "--name=x"], "cwd": "/"},
        "hunter2",
        7,
        None,
        True,
    ],
    ids=["state", "near misses", "mounts", "empty secrets", "arguments", "text", "number", "null", "boolean"],
)
def test_nothing_else_is_masked(document: Any) -> None:
    assert masked(document) == document


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--password=x"], [f"--password={MASK}"]),
        (["--token", "x"], ["--token", MASK]),
        (["-token", "x", "y"], ["-token", MASK, "y"]),
        (["--api_key=x", "--api-key=x"], [f"--api_key={MASK}", f"--api-key={MASK}"]),
        (["--api-key", "x"], ["--api-key", MASK]),
        (["DB_PASSWORD=x"], [f"DB_PASSWORD={MASK}"]),
        (["password:x"], [f"password:{MASK}"]),
        (["--password=a=b\nc"], [f"--password={MASK}"]),
        (["--db.secret=x"], [f"--db.secret={MASK}"]),
        (["--token", "--verbose", "x"], ["--token", "--verbose", "x"]),
        (["--name", "x", "--root=/run"], ["--name", "x", "--root=/run"]),
        (["https://host/path?x=1"], ["https://host/path?x=1"]),
        (["token"], ["token"]),
        ([], []),
    ],
    ids=repr,
)
def test_arguments(arguments: list[str], shown: list[str]) -> None:
    assert masked_arguments(arguments) == shown
    assert masked({"args": arguments, "extra_args": arguments}) == {"args": shown, "extra_args": shown}
    assert masked_arguments(tuple(arguments)) == shown


def test_a_command_in_one_text() -> None:
    options = {"on_quit": "/bin/tell --token hunter2 --password=hunter2 done", "log_file": "/l --token x"}
    shown = f"/bin/tell --token {MASK} --password={MASK} done"
    assert masked(options) == {"on_quit": shown, "log_file": "/l --token x"}


def test_a_deep_document_of_lists_and_mappings_keeps_its_shape() -> None:
    document: Any = {"env": ["A=hunter2"]}
    for _level in range(50):
        document = {"spec": [document]}
    shown = masked(document)
    for _level in range(50):
        shown = shown["spec"][0]
    assert shown == {"env": [f"A={MASK}"]}
