# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Layout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS

QUESTIONS = [name for name, value in vars(Layout).items() if callable(value) and not name.startswith("_")]


def test_the_layouts_of_the_options() -> None:
    assert list(LAYOUTS) == ["gvisor", "gvisor_legacy"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_registered_under_its_own_name(name: str) -> None:
    assert LAYOUTS[name].name == name


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_answers_every_question(name: str) -> None:
    assert [one for one in QUESTIONS if getattr(type(LAYOUTS[name]), one) is getattr(Layout, one)] == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_data_of_every_layout_is_whole(name: str) -> None:
    layout = LAYOUTS[name]
    assert layout.root_rules and all(
        rule.default.startswith("/") and 0 < rule.mode <= 0o777 for rule in layout.root_rules
    )
    assert layout.documents and all(rule.mode & 0o007 == 0 for rule in layout.documents), "no state is readable by all"
    assert layout.commit_role in [rule.name for rule in layout.documents]
    assert check_known_name("web-1", "sandbox_id", layout.names) == "web-1"
    assert layout.names.described
