# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as Rust's serde_json writes it for people: what the Rust runtime's state looks like (kata-runtime-rs.md)."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json

# Python writes 1e-05 and 1e-07 where Rust (zmij of serde_json 1.0.149) writes 0.00001 and 1e-7; 1e+16 is the same.
# Texts are left alone: they come with their quotes.
_TEXT_OR_EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|([0-9])(?:\.([0-9]+))?e-0([0-9])')


def encode(document: Any, where: str) -> bytes:
    """JSON with two blanks a level and sorted keys, as the Rust runtime's maps have them, without a final newline.

    where: the option that holds the document. Raises InvalidInput for what JSON cannot hold.
    """
    go_json.encode(document, where)  # refuses what no JSON document can hold, and names the place
    text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)
    return _TEXT_OR_EXPONENT.sub(_as_rust, text).encode("utf-8")


def _as_rust(found: re.Match[str]) -> str:
    first, rest, exponent = found[1], found[2] or "", found[3]
    if first is None:
        return found[0]
    if exponent == "5":
        return f"0.0000{first}{rest}"
    return f"{first}{'.' if rest else ''}{rest}e-{exponent}"
