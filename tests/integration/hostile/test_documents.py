# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents: foreign ones stop nobody and prove nothing (promise 7), given ones are written whole or refused (R3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.hostile import strategies as made_up
from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import Ground, explore
from hypothesis import strategies as st

pytestmark = pytest.mark.real
NAME = "web-1"


def is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def same(one: Any, other: Any) -> bool:
    """The same value, where 1 and 1.0 are one number, and true is none."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def test_promise_7_any_document_on_disk_stops_nobody_and_proves_nothing(ground: Ground, factor: int) -> None:
    documents = ground.documents(NAME)

    def check(chosen: tuple[str, bytes]) -> None:
        document, data = chosen
        ground.build()
        assert ground.run("sandbox_state", sandbox_id=NAME, documents=documents).changed
        path = ground.file(document, NAME)
        path.write_bytes(data)
        ground.touched()

        for sees_all, verdicts in ((None, {"unknown"}), (True, {"unknown", "leftover"})):
            found = ground.run("sandbox_state_info", sees_all, sandbox_id=NAME, with_documents=True)
            assert not found.failed, found.message
            entry = found.sandboxes[0]
            assert entry["exists"] and entry["verdict"] in verdicts and entry["evidence"], entry
            assert is_json(data) or any(str(path) in reason for reason in entry["evidence"]), entry
        assert not ground.run("sandbox_state_info").failed  # the listing of all
        kept = ground.run("sandbox_state", None, sandbox_id=NAME, state="absent")
        assert kept.failed and not kept.changed
        assert ground.touched() == set()

        done = ground.run("sandbox_state", sandbox_id=NAME, state="absent", force=True)
        assert done.changed and not done.failed, done.message
        assert ground.foreign(ground.touched(), {NAME}) == set()
        assert not ground.run("sandbox_state_info", sandbox_id=NAME).sandboxes[0]["exists"]

    choices = [st.tuples(st.just(name), made_up.files(content)) for name, content in documents.items()]
    explore(check, 12 * factor, chosen=st.one_of(choices))


def test_R3_any_document_that_is_given_is_written_whole_or_refused(ground: Ground, factor: int) -> None:
    documents = ground.documents(NAME)

    def check(chosen: tuple[str, dict[str, Any]]) -> None:
        document, content = chosen
        ground.build()
        before = ground.seen
        wish: dict[str, Any] = {"sandbox_id": NAME, "documents": {**documents, document: content}}
        made = ground.run("sandbox_state", **wish)
        touched = ground.touched()
        assert made.changed is bool(touched) and ground.foreign(touched, {NAME}) == set()
        if made.failed:
            assert f"documents.{document}" in made.message and not made.changed, made.message
            return
        assert same(json.loads(ground.file(document, NAME).read_bytes()), content)
        again = ground.run("sandbox_state", **wish)
        assert not again.failed and not again.changed and ground.touched() == set(), again.message
        assert not ground.run("sandbox_state_info", sandbox_id=NAME, with_documents=True).failed
        assert ground.run("sandbox_state", sandbox_id=NAME, state="absent", force=True).changed
        ground.touched()
        assert ground.seen == before

    choices = [
        st.tuples(st.just(name), made_up.mappings(content))
        for name, content in documents.items()
        if isinstance(content, dict)
    ]
    explore(check, 15 * factor, chosen=st.one_of(choices))
