# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an info module found, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, LIVE, UNKNOWN


def in_words(entries: Sequence[dict[str, Any]], noun: str, key: str) -> str:
    """The summary of what an info module found: counts, then the first that are not simply alive, with what decided.

    noun: "sandbox"; key: the field of an entry that has its name.
    """
    there = [entry for entry in entries if entry["exists"]]
    counts = [(kind, sum(1 for entry in there if entry["verdict"] == kind)) for kind in (LIVE, LEFTOVER, UNKNOWN)]
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    shown = [f"{count} {kind}" for kind, count in counts if count]
    text = f"{len(there)} {noun if len(there) == 1 else plural}" + (f": {', '.join(shown)}." if shown else ".")
    if len(entries) > len(there):
        text += f" {len(entries) - len(there)} not there."
    for entry in [entry for entry in there if entry["verdict"] != LIVE][:5]:
        text += f" {entry['verdict'].capitalize()}: {entry[key]} ({in_one(entry['evidence'])})."
    return text


def in_one(reasons: Sequence[str]) -> str:
    """Reasons one after the other, as a part of a sentence; an error among them is a whole one."""
    return "; ".join(reason.rstrip(".") for reason in reasons)
