# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module sandbox_state in the tests of Kata's layouts: how it is called, and what it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CONTAINER,
    NAME,
    SANDBOX,
    listing,
    make,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run


def call(host: Path, layout: str, check_mode: bool = False, **options: Any) -> Result:
    base = {"layout": layout, "host_root": str(host), "sees_all_processes": True, "lock_timeout": 0.2, "durable": False}
    return run("sandbox_state", {**base, **options}, check_mode)


def ok(result: Result) -> Result:
    assert not result.failed, result.msg
    return result


def two(host: Path, layout: str) -> None:
    make(layout, host)
    make(layout, host, f"{NAME}-2")


Options = dict[str, Any]


def of_sandbox(layout: str, **more: Any) -> Options:
    return {"sandbox_id": NAME, "documents": {name: {**content, **more} for name, content in SANDBOX[layout].items()}}


def of_container(layout: str) -> Options:
    return {"sandbox_id": NAME, "container_id": "app-1", "documents": CONTAINER[layout]}


ABSENT: Options = {"sandbox_id": NAME, "state": "absent"}


def refusal(host: Path, layout: str, **options: Any) -> str:
    """The message of a task that is refused in check mode and in the run alike, and changes nothing."""
    before = listing(host)
    told, done = call(host, layout, True, **options), call(host, layout, **options)
    assert told.failed and done.failed and told.msg == done.msg, (told.msg, done.msg)
    assert done.value.get("changed") in (False, None) and listing(host) == before
    assert done.msg.count("..") == 0 and done.msg.endswith((".", '"'))
    return done.msg
