# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_options import (
    STATE_OPTIONS,
    items_of,
    wishes_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_selection import (
    INFO_OPTIONS,
    SELECTORS,
    roots_of,
    selection_of,
)

GVISOR, LEGACY = LAYOUTS["gvisor"], LAYOUTS["gvisor_legacy"]
STORE, PERSIST, RUST = LAYOUTS["kata_store"], LAYOUTS["kata_persist"], LAYOUTS["kata_rs"]
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


# Kata


def entry(**options: Any) -> dict[str, Any]:
    return {"container_id": None, "documents": None, "raw_items": None, **options}


def documents_of(layout: Any, *names: str) -> dict[str, Any]:
    return {name: ([] if layout.rule_of(name).is_list else {}) for name in names}


@pytest.mark.parametrize("layout", [GVISOR, STORE, PERSIST, RUST], ids=lambda layout: str(layout.name))
def test_each_layout_takes_its_own_documents_and_no_others(layout: Any) -> None:
    own = [rule.name for rule in layout.documents]
    for name in STATE_OPTIONS["documents"]["options"]:
        given = state(sandbox_id="ab", documents={name: {}})
        if name in own:
            assert list(wishes_of(given, layout)[0].documents) == [name]
            continue
        with pytest.raises(InvalidInput) as caught:
            wishes_of(given, layout)
        assert str(caught.value) == (f"documents.{name}: {layout.name} has no such document. It has {', '.join(own)}.")
        with pytest.raises(InvalidInput, match=rf"^sandboxes\[1\]\.documents\.{name}: "):
            wishes_of(state(sandboxes=[entry(sandbox_id="ab"), entry(sandbox_id="cd", documents={name: {}})]), layout)


@pytest.mark.parametrize("layout", [GVISOR, LEGACY, PERSIST, RUST], ids=lambda layout: str(layout.name))
def test_only_the_store_has_raw_items_and_a_configuration_tree(layout: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        wishes_of(state(sandbox_id="ab", raw_items={"a": "b"}), layout)
    assert str(caught.value) == f"raw_items: {layout.name} has no raw items, only kata_store has. Leave it out."
    assert wishes_of(state(sandbox_id="ab", raw_items={}), layout)[0].raw_items == {}
    with pytest.raises(InvalidInput) as caught:
        roots_of({"run_root": None, "config_root": "/x"}, layout)
    assert str(caught.value) == f"config_root: {layout.name} has no such directory. Leave it out."
    assert roots_of({"run_root": "/x", "config_root": None}, layout) == {"run_root": "/x"}


def test_the_store_has_two_roots() -> None:
    assert roots_of({"run_root": "/a", "config_root": "/b"}, STORE) == {"config_root": "/b", "run_root": "/a"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"../x": "t"}, "raw_items: '../x' is not a name"),
        ({"a/b": "t"}, "raw_items: 'a/b' is not a name"),
        ({"..": "t"}, "raw_items: '..' is not a name"),
        ({".": "t"}, "raw_items: '.' is not a name"),
        ({"a\0b": "t"}, "raw_items: 'a\\x00b' has a control character"),
        ({"a" * 256: "t"}, "is too long: its file name would have 256 bytes"),
        ({"a": 7}, "raw_items.a: it is a int, not a text. Quote it."),
        ({"a": None}, "raw_items.a: it is a NoneType, not a text. Quote it."),
        ({"a": {"b": "c"}}, "raw_items.a: it is a dict, not a text. Quote it."),
    ],
)
def test_K7_a_raw_item_has_a_single_name_and_a_text(given: Any, why: str) -> None:
    """Kata joins the name to raw/ as it is, so that ../x leaves the directory."""
    with pytest.raises(InvalidInput) as caught:
        wishes_of(state(sandbox_id="ab", raw_items=given), STORE)
    assert why in str(caught.value)
    with pytest.raises(InvalidInput, match=r"^sandboxes\[0\]\.raw_items"):
        wishes_of(state(sandboxes=[entry(sandbox_id="ab", raw_items=given)]), STORE)


def test_raw_items_reach_the_wish() -> None:
    given = {"a": "text", "": "other", "ä b": ""}
    assert dict(wishes_of(state(sandbox_id="ab", raw_items=given), STORE)[0].raw_items) == given


@pytest.mark.parametrize("option", ["documents", "raw_items"])
def test_there_is_nothing_to_write_when_something_is_removed(option: str) -> None:
    value: dict[str, Any] = {"config": {}} if option == "documents" else {"a": "b"}
    with pytest.raises(InvalidInput, match=f"^{option}: there is nothing to write with state=absent"):
        wishes_of(state(state="absent", sandbox_id="ab", **{option: value}), STORE)
    empty: list[Any] = [{}, None]
    for nothing in empty:
        assert len(wishes_of(state(state="absent", sandbox_id="ab", **{option: nothing}), STORE)) == 1


@pytest.mark.parametrize("wanted", ["present", "absent"])
def test_a_sandbox_and_the_container_of_its_name_are_two_things_where_it_is_a_directory(wanted: str) -> None:
    """Kata keeps the sandbox's own container in a directory of its own, also called like the sandbox."""
    entries = [
        entry(sandbox_id="ab"),
        entry(sandbox_id="ab", container_id="ab"),
        entry(sandbox_id="ab", container_id="c"),
    ]
    for layout in (STORE, PERSIST):
        wishes = wishes_of(state(state=wanted, sandboxes=entries), layout)
        assert [(wish.container_id, wish.with_sandbox) for wish in wishes] == [("", False), ("ab", True), ("c", True)]
        with pytest.raises(InvalidInput, match="'ab' is there twice"):
            wishes_of(state(state=wanted, sandboxes=[entries[0], entries[0]]), layout)
    (alone,) = wishes_of(state(state=wanted, sandboxes=entries[1:2]), PERSIST)
    assert not alone.with_sandbox


@pytest.mark.parametrize("wanted", ["present", "absent"])
def test_U10_the_rust_runtime_keeps_nothing_for_single_containers(wanted: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        wishes_of(state(state=wanted, sandbox_id="ab", container_id="c"), RUST)
    assert str(caught.value) == "container_id: kata_rs keeps nothing for single containers. Leave it out."
    with pytest.raises(InvalidInput, match=r"^sandboxes\[0\]\.container_id: "):
        wishes_of(state(state=wanted, sandboxes=[entry(sandbox_id="ab", container_id="c")]), RUST)


def test_RS5_the_directory_of_all_jails_is_no_name() -> None:
    for wanted in ("present", "absent"):
        with pytest.raises(InvalidInput, match="'firecracker' is the runtime's own, and no sandbox"):
            wishes_of(state(state=wanted, sandbox_id="firecracker"), RUST)
    assert wishes_of(state(state="absent", sandbox_id="firecracker"), PERSIST)[0].sandbox_id == "firecracker"


@pytest.mark.parametrize("layout", [STORE, PERSIST, RUST], ids=lambda layout: str(layout.name))
def test_R8_odd_names_can_be_removed_and_no_name_leaves_its_root(layout: Any) -> None:
    """K8: 1.x joins ../../x to its root; the Rust runtime takes letters of any alphabet (RS9)."""
    for name in ("a b", "ü", "%2e", "-x", ".hidden", "a?b#c", "x" * 200):
        assert wishes_of(state(state="absent", sandbox_id=[name]), layout)[0].sandbox_id == name
    for name in ("../../x", "a/b", ".", "..", "", "a\0b", "\ud800", "x" * 240):
        with pytest.raises(InvalidInput):
            wishes_of(state(state="absent", sandbox_id=[name]), layout)


def test_the_order_of_work_is_not_that_of_the_list(tmp_path: Any) -> None:
    """U2, U3: a sandbox is made before its containers and removed after them, by one process."""
    entries = [entry(sandbox_id="ab", container_id="c"), entry(sandbox_id="ab")]
    for wanted, first in (("present", ""), ("absent", "c")):
        params = state(state=wanted, sandboxes=entries, host_root=str(tmp_path))
        items = items_of(params, STORE)
        assert [item.wish.container_id for item in items] == ["c", ""]
        assert {item.group for item in items} == {"ab"}
        assert min(items, key=lambda item: item.order).wish.container_id == first
