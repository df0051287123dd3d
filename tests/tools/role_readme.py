# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the options of each role into its README, between two marks, from its argument spec: ``make docs``.

What stands outside of the marks is written by hand and stays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- from meta/argument_specs.yml, by `make docs` -->", "<!-- end -->"
_MARKUP = re.compile(r"\b[CVO]\(([^()]*)\)")
_ROLE = re.compile(r"\bP\(sandboxed\.containers\.(\w+)#role\)")


def roles() -> list[Path]:
    """The folders of all roles."""
    return sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))


def rendered(role: Path) -> str:
    """What the README of a role should be. Raises ValueError where the marks are missing."""
    current = (role / "README.md").read_text(encoding="utf-8")
    before, begin, rest = current.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{role.name}/README.md has no {BEGIN} with an {END} after it")
    return f"{before}{BEGIN}\n{''.join(_sections(spec_of(role)))}{END}{after}"


def spec_of(role: Path) -> dict[str, Any]:
    """The specification of a role's entry point."""
    loaded = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    spec: dict[str, Any] = loaded["argument_specs"]["main"]
    return spec


def _sections(spec: dict[str, Any]) -> Iterator[str]:
    yield "".join(f"\n{_plain(paragraph)}\n" for paragraph in spec["description"])
    yield from _table("## Variables", spec["options"])
    for name, option in spec["options"].items():
        if "options" in option:
            yield from _table(f"### Each of `{name}`", option["options"])
    yield "\n"


def _table(title: str, options: dict[str, Any]) -> Iterator[str]:
    yield f"\n{title}\n\n| variable | type, default | meaning |\n| --- | --- | --- |\n"
    for name, option in options.items():
        meaning = " ".join(map(_plain, option["description"]))
        yield f"| `{name}` | {_kind(option)} | {meaning}{_choices(option)} |\n"


def _kind(option: dict[str, Any]) -> str:
    kind = f"list of {option['elements']}" if option["type"] == "list" else option["type"]
    if option.get("required"):
        return f"{kind}, required"
    default = option.get("default")
    if default is None or default in ("", []):
        return str(kind)
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return f"{kind}, `{shown}`"


def _choices(option: dict[str, Any]) -> str:
    names = [f"`{name}`" for name in option.get("choices", [])]
    return f" One of {', '.join(names)}." if names else ""


def _plain(text: str) -> str:
    return _MARKUP.sub(r"`\1`", _ROLE.sub(r"[\1](../\1/README.md)", text)).replace("|", "\\|")


def main() -> None:
    """Bring every README up to date; name those that were not."""
    for role in roles():
        wanted, path = rendered(role), role / "README.md"
        if wanted != path.read_text(encoding="utf-8"):
            path.write_text(wanted, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
