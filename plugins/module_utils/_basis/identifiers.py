# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of sandboxes and containers: a strict rule to create, a wider one to inspect and delete (README.md R8)."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput

# What containerd, both Kata runtimes and runsc all accept: containerd's rule, and Kata wants two characters.
# Texts, which are compiled when they are first needed: most names are plain.
_NEW_NAME = r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*"
_NEW_NAME_RULE = (
    "A new name has 2 to 76 letters (A-Z, a-z) and digits, with single '.', '_' or '-' between them: "
    "what every runtime accepts"
)
_NEW_NAME_BYTES = 76
_CONTROL = r"[\x00-\x1f\x7f\ud800-\udfff]"
FILE_NAME_BYTES = 255  # of every Linux file system that matters


class NameRule(NamedTuple):
    """Which names a layout can have on disk.

    characters: a regular expression for the whole name, or empty for any single path component.
    described: the same in words, "have only letters". extra_bytes: what file names of the layout add to it at least.
    reserved: names that are not an object's. has_comma: its names may have one, so that a text with commas may be a
    single name.
    """

    characters: str = ""
    described: str = ""
    extra_bytes: int = 0
    reserved: frozenset[str] = frozenset()
    has_comma: bool = False


def as_name(value: Any, option: str) -> str:
    """The text of a name, or InvalidInput when YAML has made something else of it (unquoted 0123, 12:30:45, yes)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        why = f"{value} is a boolean, not a name"
        raise InvalidInput(option, why, f'Quote it: {option}: "{"yes" if value else "no"}".')
    if isinstance(value, (int, float)):
        octal = f"0{value:o}" if isinstance(value, int) and value > 0 else ""
        why = f"{value} is a number, not a name" + (f" (YAML reads an unquoted {octal} as {value})" if octal else "")
        otherwise = f', or "{octal}" if it was written so' if octal else ""
        raise InvalidInput(option, why, f'Quote it: {option}: "{value}"{otherwise}.')
    raise InvalidInput(option, f"a name is a text, and this is a {type(value).__name__}", "Give one quoted name.")


def as_names(value: Any, option: str, rule: NameRule | None = None) -> list[str]:
    """The names of an option that takes one, several, or a text with commas (Ansible's own convention for lists)."""
    if isinstance(value, str) and "," in value and rule is not None and rule.has_comma:
        raise InvalidInput(option, f"'{value}' may be one name or several: names may have a comma here", "Give a list.")
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    if not isinstance(value, list):
        value = [value]
    names = [as_name(element, option) for element in value]
    seen: set[str] = set()
    for name in names:
        if name in seen and name:  # an empty one is refused for that
            raise InvalidInput(option, f"'{name}' is given twice", "Give each name once.")
        seen.add(name)
    return names


def check_known_name(name: str, option: str, rule: NameRule) -> str:
    """Accept a name that may be on disk, for inspection and deletion; InvalidInput with the rule otherwise."""
    plain = name.isalnum() and name.isascii() and len(name) + rule.extra_bytes <= FILE_NAME_BYTES
    if plain and not (rule.characters or rule.reserved):
        return name  # as an engine's ids are, of which there may be thousands
    if name in ("", ".", "..") or "/" in name:
        raise InvalidInput(option, f"'{name}' is not a name", "A name is not empty, '.' or '..', and has no '/'.")
    if name in rule.reserved:
        what = "container" if option.endswith("container_id") else "sandbox"
        raise InvalidInput(option, f"'{name}' is the runtime's own, and no {what}", f"Give a {what}'s name.")
    if re.search(_CONTROL, name):
        raise InvalidInput(option, f"{name!r} has a control character or is not valid Unicode", "Give the exact name.")
    if rule.characters and not re.fullmatch(rule.characters, name):
        raise InvalidInput(option, f"'{name}' cannot be a name in this layout", f"Its names {rule.described}.")
    size = len(name.encode("utf-8")) + rule.extra_bytes
    if size > FILE_NAME_BYTES:
        raise InvalidInput(
            option,
            f"'{name[:40]}…' is too long: its file name would have {size} bytes",
            f"A file name has at most {FILE_NAME_BYTES}.",
        )
    return name


def check_passable(text: str, option: str) -> None:
    """InvalidInput for a text that the system cannot be given, neither as a path nor in a command."""
    try:
        what = "a NUL" if b"\0" in os.fsencode(text) else ""
    except UnicodeEncodeError as error:  # half of a pair of surrogates, unless it stands for a byte
        what = ascii(text[error.start])
    if what:
        raise InvalidInput(option, f"it has {what}, which neither a path nor a command can have", "Leave that out.")


def is_engines_name(name: str) -> bool:
    """Whether containerd would take it as an id: 1 to 76 bytes of its rule."""
    return len(name) <= _NEW_NAME_BYTES and re.fullmatch(_NEW_NAME, name) is not None


def check_new_name(name: str, option: str, rule: NameRule) -> str:
    """Accept a name for something new: what every runtime accepts (R8); InvalidInput with the rule otherwise."""
    check_known_name(name, option, rule._replace(characters="", described=""))
    size = len(name.encode("utf-8"))
    if not 2 <= size <= _NEW_NAME_BYTES or not re.fullmatch(_NEW_NAME, name):
        shown = name if size <= _NEW_NAME_BYTES else f"{name[:40]}… ({size} bytes)"
        raise InvalidInput(option, f"'{shown}' cannot be the name of something new", f"{_NEW_NAME_RULE}.")
    return name
