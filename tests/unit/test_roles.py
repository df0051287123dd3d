# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles: their READMEs say what their argument specs say, and so do their defaults."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import role_readme  # the tools are no package

pytestmark = pytest.mark.parametrize("role", [pytest.param(one, id=one.name) for one in role_readme.roles()])


def defaults(role: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    return found


def test_readme_is_up_to_date(role: Path) -> None:
    """`make docs` writes it."""
    assert (role / "README.md").read_text(encoding="utf-8") == role_readme.rendered(role)


def test_variables_bear_the_prefix_of_the_role(role: Path) -> None:
    assert [name for name in role_readme.spec_of(role)["options"] if not name.startswith(f"{role.name}_")] == []


def test_every_variable_has_a_default_and_is_specified(role: Path) -> None:
    assert sorted(defaults(role)) == sorted(role_readme.spec_of(role)["options"])


def test_defaults_are_those_of_the_specification(role: Path) -> None:
    """A default that is worked out has none in the specification, and its description tells what it is."""
    options = role_readme.spec_of(role)["options"]
    worked_out = {name for name, value in defaults(role).items() if "{{" in str(value)}
    assert {name for name in options if "default" not in options[name]} == worked_out
    assert [name for name in worked_out if "if omitted" not in str(options[name]["description"]).lower()] == []
    plain = {name: value for name, value in defaults(role).items() if name not in worked_out}
    assert plain == {name: options[name]["default"] for name in plain}


def test_only_modules_of_ansible_itself_are_used(role: Path) -> None:
    """The collection has no dependencies."""
    tasks = [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]
    text = "".join(path.read_text(encoding="utf-8") for path in tasks)
    used = set(re.findall(r"^\s+(\w+\.\w+\.\w+):", text, re.MULTILINE))
    assert used
    assert {name for name in used if not name.startswith(("ansible.builtin.", "sandboxed.containers."))} == set()
