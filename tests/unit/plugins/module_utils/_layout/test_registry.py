# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_options import STATE_OPTIONS

NAMES = ["kata_store", "kata_persist", "kata_rs", "gvisor", "gvisor_legacy"]


def test_the_layouts_of_the_options() -> None:
    assert list(LAYOUTS) == NAMES and len(LAYOUTS) == len(NAMES)
    assert STATE_OPTIONS["layout"]["choices"] == NAMES


def test_an_unknown_name_is_no_layout() -> None:
    assert "runc" not in LAYOUTS


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_is_registered_under_its_own_name(name: str) -> None:
    assert LAYOUTS[name].name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_answers_every_question(name: str) -> None:
    assert getattr(type(LAYOUTS[name]), "__abstractmethods__", None) == frozenset()
    assert isinstance(LAYOUTS[name], (FlatLayout, TreeLayout))


def test_the_options_name_the_documents_of_all_layouts() -> None:
    rules = [rule for name in NAMES for rule in LAYOUTS[name].documents]
    options = STATE_OPTIONS["documents"]["options"]
    assert options.keys() == {rule.name for rule in rules}
    assert {name for name, option in options.items() if option["type"] == "list"} == {
        rule.name for rule in rules if rule.is_list
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_data_of_every_layout_is_whole(name: str) -> None:
    layout = LAYOUTS[name]
    assert layout.root_rules and all(
        rule.default.startswith("/") and 0 < rule.mode <= 0o777 for rule in layout.root_rules
    )
    assert layout.documents and all(rule.sandbox or rule.container for rule in layout.documents)
    assert check_known_name("web-1", "sandbox_id", layout.names) == "web-1"
    assert bool(layout.names.described) == bool(layout.names.characters)
    if isinstance(layout, FlatLayout):
        assert layout.commit_role in [rule.name for rule in layout.documents]
        assert all(rule.mode & 0o007 == 0 for rule in layout.documents), "no state is readable by all"
    if isinstance(layout, TreeLayout):
        assert {tree.option for tree in layout.trees} == {rule.option for rule in layout.root_rules}
        assert {rule.tree for rule in layout.documents} == {tree.role for tree in layout.trees}
        assert layout.state_tree.role == "state"
