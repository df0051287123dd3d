# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names: a clean answer for each, and nothing changed but what has exactly that name (promise 5)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.hostile import strategies as made_up
from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import Ground, explore
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from hypothesis import strategies as st

pytestmark = pytest.mark.real


def check_refusal(answer: Result) -> None:
    """Which option or object, why, and in a last sentence of its own what now."""
    assert re.search(r"\b(sandbox_id|container_id|sandboxes|documents)\b|^(\d+ of|Sandbox|Container) ", answer.message)
    ansibles_own = answer.message.startswith("missing required arguments: sandbox_id")
    assert ansibles_own or re.search(r"[.:] [A-Z][^\n]*\.$", answer.message), answer.message


def names_in(value: Any) -> set[str]:
    """The sandboxes that a value of the option may mean."""
    elements = value if isinstance(value, list) else [value]
    texts = {one for one in elements if isinstance(one, str)}
    return texts | {part.strip() for text in texts for part in text.split(",")}


def test_any_value_as_a_name_gives_a_clean_answer(ground: Ground, factor: int) -> None:
    def check(value: Any, container: Any, listed: bool, force: bool) -> None:
        ground.build()
        name = value if isinstance(value, str) else "web-1"
        wish: dict[str, Any] = {"sandbox_id": value, "container_id": container}
        entry = {"sandboxes": [wish]} if listed else wish
        documents = {"documents": ground.documents(name)}
        full = {"sandboxes": [{**wish, **documents}]} if listed else {**wish, **documents}
        for module, options in (
            ("sandbox_state_info", wish),
            ("sandbox_state", {"state": "absent", "force": force, **entry}),
            ("sandbox_state", {"state": "present", **full}),
        ):
            answer = ground.run(module, **options)
            touched = ground.touched()
            if answer.failed:
                check_refusal(answer)
            assert ground.foreign(touched, names_in(value)) == set(), options
            assert answer.changed is bool(touched), answer.message

    explore(
        check,
        25 * factor,
        value=made_up.NAMES,
        container=st.one_of(st.none(), st.none(), made_up.NAMES),
        listed=st.booleans(),
        force=st.booleans(),
    )


def test_a_name_that_is_accepted_is_made_found_and_removed(ground: Ground, factor: int) -> None:
    def check(name: str) -> None:
        ground.build()
        before = ground.seen
        wish: dict[str, Any] = {"sandbox_id": name, "documents": ground.documents(name)}
        for state, options, changed in (("present", wish, True), ("present", wish, False), ("absent", {}, True)):
            answer = ground.run("sandbox_state", **{"sandbox_id": name, "state": state, **options})
            assert not answer.failed and answer.changed is changed, answer.message
            touched = ground.touched()
            assert bool(touched) is changed and ground.foreign(touched, {name}) == set()
            found = ground.run("sandbox_state_info", sandbox_id=name).sandboxes[0]
            expected = (state == "present", "leftover" if state == "present" else None)
            assert (found["exists"], found.get("verdict")) == expected
            assert ground.touched() == set()
        assert ground.seen == before

    explore(check, 6 * factor, name=made_up.NEW_NAMES)
