# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_options import (
    INFO_OPTIONS,
    SELECTORS,
    STATE_OPTIONS,
    selection_of,
    wishes_of,
)

GVISOR, LEGACY = LAYOUTS["gvisor"], LAYOUTS["gvisor_legacy"]
DEFAULTS: dict[str, Any] = {name: rule.get("default") for name, rule in STATE_OPTIONS.items()}


def state(**options: Any) -> dict[str, Any]:
    return {**DEFAULTS, "layout": "gvisor", **options}


def test_both_modules_take_the_same_selectors() -> None:
    assert (
        {name: INFO_OPTIONS[name] for name in SELECTORS}
        == SELECTORS
        == {name: STATE_OPTIONS[name] for name in SELECTORS}
    )
    assert SELECTORS["layout"]["choices"] == list(LAYOUTS)


def test_a_flat_wish_has_what_was_given() -> None:
    (wish,) = wishes_of(
        state(sandbox_id="a", container_id="c", documents={"state": {"id": "c"}}, fail_if_exists=True), GVISOR
    )
    assert (wish.sandbox_id, wish.container_id, dict(wish.documents)) == ("a", "c", {"state": {"id": "c"}})
    assert (wish.present, wish.fail_if_exists, wish.unmount, wish.force, wish.stop_processes) == (
        True,
        True,
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("state", "absent", "present"),
        ("on_mounted", "unmount", "unmount"),
        ("force", True, "force"),
        ("stop_processes", True, "stop_processes"),
    ],
)
def test_each_option_reaches_the_wish_of_every_form(option: str, value: Any, field: str) -> None:
    plain = wishes_of(state(sandbox_id="a"), GVISOR)[0]
    flat = wishes_of(state(sandbox_id="a", **{option: value}), GVISOR)[0]
    entry = wishes_of(
        state(sandboxes=[{"sandbox_id": "a", "container_id": None, "documents": None}], **{option: value}), GVISOR
    )[0]
    assert flat == entry != plain
    assert getattr(flat, field) is not getattr(plain, field)


def test_an_unset_document_is_not_given() -> None:
    """Ansible fills options of a mapping that were left out with null; an empty document is one."""
    assert dict(wishes_of(state(sandbox_id="a", documents={"state": None}), GVISOR)[0].documents) == {}
    assert dict(wishes_of(state(sandbox_id="a", documents={"state": {}}), GVISOR)[0].documents) == {"state": {}}
    assert wishes_of(state(sandbox_id="a", state="absent", documents={"state": None}), GVISOR)[0].present is False


@pytest.mark.parametrize("layout", [GVISOR, LEGACY], ids=["gvisor", "legacy"])
def test_nothing_given_is_an_error_and_an_empty_list_is_nothing(layout: Any) -> None:
    with pytest.raises(InvalidInput, match="sandbox_id: it is missing"):
        wishes_of(state(), layout)
    for option in ("sandbox_id", "sandboxes"):
        for wanted in ("present", "absent"):
            assert wishes_of(state(**{"state": wanted, option: []}), layout) == []


def test_absent_of_a_sandbox_and_of_one_of_its_containers_are_two_things() -> None:
    entries = [{"sandbox_id": "a", "container_id": one, "documents": None} for one in (None, "a", "c")]
    assert len(wishes_of(state(state="absent", sandboxes=entries), GVISOR)) == 3
    with pytest.raises(InvalidInput, match="twice"):
        wishes_of(state(state="present", sandboxes=entries), GVISOR)


def test_an_entrys_error_names_the_entry() -> None:
    entries: list[dict[str, Any]] = [
        {"sandbox_id": "a", "container_id": None, "documents": None},
        {"sandbox_id": "b/", "container_id": None, "documents": None},
    ]
    with pytest.raises(InvalidInput, match=r"^sandboxes\[1\]\.sandbox_id: "):
        wishes_of(state(sandboxes=entries), GVISOR)
    entries = [{"sandbox_id": "a", "container_id": None, "documents": {"state": {}}}]
    with pytest.raises(InvalidInput, match=r"^sandboxes\[0\]\.documents: "):
        wishes_of(state(state="absent", sandboxes=entries), GVISOR)


def test_each_layout_has_its_own_names() -> None:
    assert [wish.sandbox_id for wish in wishes_of(state(sandbox_id=["a,b"], state="absent"), LEGACY)] == ["a,b"]
    with pytest.raises(InvalidInput, match="cannot be a name in this layout"):
        wishes_of(state(sandbox_id=["a,b"], state="absent"), GVISOR)


@pytest.mark.parametrize(
    ("sandbox_id", "container_id", "ids", "container"),
    [
        (None, None, None, ""),
        ([], None, [], ""),
        ("a", None, ["a"], ""),
        (["a", "b"], None, ["a", "b"], ""),
        ("a", "c", ["a"], "c"),
    ],
)
def test_selection(sandbox_id: Any, container_id: Any, ids: Any, container: str) -> None:
    assert selection_of({"sandbox_id": sandbox_id, "container_id": container_id}, GVISOR) == (ids, container)
