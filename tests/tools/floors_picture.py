# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw the floors of the house into docs/floors.svg: ``make docs``.

A unit test holds the table against the folders: each file of a floor is in one room of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "floors.svg"


class Room(NamedTuple):
    """Files that belong together. words: what they are about. patterns: of their names; none: the title is one."""

    title: str
    words: str
    patterns: tuple[str, ...] = ()


class Floor(NamedTuple):
    """folder: from the top of the checkout. colour: of its background."""

    title: str
    folder: str
    words: str
    colour: str
    rooms: tuple[Room, ...]


FLOORS = (
    Floor(
        "playbooks/ and roles/",
        "",
        "whole fleets over SSH: made from bare hosts, looked at, pruned from reviewed plans, taken down",
        "#f0ecf7",
        (
            Room("provision", "roles, in order"),
            Room("audit", "a plan for each host"),
            Room("prune", "what was reviewed"),
            Room("decommission", "not while any lives"),
            Room("sandbox_…", "seven roles"),
        ),
    ),
    Floor(
        "modules/",
        "plugins/modules",
        "documentation, options, a short main(); one that changes, one that looks",
        "#e8f1fa",
        (
            Room("sandbox_state", "and its _info", ("sandbox_state*",)),
            Room("container_bundle", "and its _info", ("container_bundle*",)),
            Room("container_id_mapping", "and its _info", ("container_id_mapping*",)),
            Room("virtiofsd_daemon", "and its _info", ("virtiofsd_daemon*",)),
            Room("sandbox_host_info", "and sandbox_prune", ("sandbox_host_info", "sandbox_prune")),
        ),
    ),
    Floor(
        "3  _object/",
        "plugins/module_utils/_object",
        "what each kind of object is: read, plan, (lock, read, plan again,) apply, report",
        "#e6f4ea",
        (
            Room("steps…", "for one and thousands", ("steps", "items", "batches", "workers", "shares")),
            Room("view, verdict", "live? pure", ("view", "verdict", "evidence")),
            Room("changes, removal", "and what is in the way", ("changes", "removal", "owned")),
            Room("task, report", "seam to Ansible", ("task", "change_task", "report", "info_words", "printable")),
            Room("sandbox…, tree…", "states", ("sandbox*", "flat_sandbox", "tree*", "raw_items", "rests")),
            Room("bundle…", "of containerd, or plain", ("bundle*",)),
            Room("mapping…", "container to sandbox", ("mapping*",)),
            Room("daemon…", "virtiofsd", ("daemon*",)),
            Room("host_…", "the scan, plans, prune", ("host_*",)),
        ),
    ),
    Floor(
        "2  _layout/",
        "plugins/module_utils/_layout",
        "what each runtime writes: paths, modes, rules for ids, locks, documents, signs of its processes",
        "#fdf3dc",
        (
            Room("registry, base", "name → layout", ("registry", "base", "documents", "*_json", "go_*", "toml_*")),
            Room("gvisor…", "both generations", ("gvisor*", "flat")),
            Room(
                "kata…",
                "three generations",
                ("kata*", "trees", "tree_reading", "places", "surroundings", "beside", "mappings"),
            ),
            Room(
                "bundles…",
                "v1, v2, OCI",
                (
                    "bundle*",
                    "containerd_*",
                    "oci_spec",
                    "registries",
                    "runc_state",
                    "shim_sockets",
                    "cgroup_*",
                ),
            ),
            Room("virtiofsd…", "C and Rust", ("virtiofsd*",)),
        ),
    ),
    Floor(
        "1  _basis/",
        "plugins/module_utils/_basis",
        "knows no runtime and no Ansible: plain values in, typed errors out",
        "#f6e7ea",
        (
            Room("identifiers…", "names, secrets, errors", ("identifiers", "tombstones", "masking", "errors")),
            Room("locking", "flock, checked", ("locking", "lock_budget")),
            Room("plain_, atomic_files", "old or new, never torn", ("plain_files", "atomic_files", "paths")),
            Room("trees…", "safe deletes", ("trees", "new_trees", "cgroup_*")),
            Room("mounts, namespaces", "all that are mounted", ("mounts", "namespaces", "unmounting")),
            Room("processes…", "who, proved", ("process*", "descriptors", "host")),
            Room("signalling, spawning", "end and start", ("signalling", "spawning", "transient_units")),
            Room("sockets…", "who listens", ("sockets", "open_sockets", "listening")),
            Room("bolt", "meta.db, read"),
            Room("syscalls, imports", "what Python lacks", ("syscalls", "quick_imports")),
        ),
    ),
)

_WIDTH, _MARGIN, _GAP, _PAD = 860, 20, 12, 16
_HEAD, _ROOM, _A_ROW = 60, 44, 5


def picture() -> str:
    """The picture as SVG."""
    parts: list[str] = []
    top = 14
    for number, floor in enumerate(FLOORS):
        rows = [floor.rooms[start : start + _A_ROW] for start in range(0, len(floor.rooms), _A_ROW)]
        height = _HEAD + len(rows) * (_ROOM + 10) + 2
        if number:
            parts.append(_arrow(top))
        parts += _floor(floor, rows, top, height)
        top += height + _GAP
    label = "The floors of the collection; imports run downward only"
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    marker = '<marker id="a" markerWidth="8" markerHeight="8" refX="5" refY="4" orient="auto">'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">',
            "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->",
            f'<defs>{marker}<path d="M0 0 L8 4 L0 8 z" fill="#5b6770"/></marker></defs>',
            f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _floor(floor: Floor, rows: Sequence[Sequence[Room]], top: int, height: int) -> Iterator[str]:
    box = f'x="{_MARGIN}" y="{top}" width="{_WIDTH - 2 * _MARGIN}" height="{height}" rx="8"'
    yield f'<rect {box} fill="{floor.colour}" stroke="#5b6770" stroke-width="1.2"/>'
    yield _text(_MARGIN + _PAD, top + 24, floor.title, 16, bold=True)
    yield _text(_MARGIN + _PAD, top + 44, floor.words, 12.5)
    for number, row in enumerate(rows):
        yield from _row(row, top + _HEAD - 4 + number * (_ROOM + 10))


def _row(rooms: Sequence[Room], top: int) -> Iterator[str]:
    inner = _WIDTH - 2 * _MARGIN - 2 * _PAD
    width = (inner - (len(rooms) - 1) * 10) / len(rooms)
    for number, room in enumerate(rooms):
        left = _MARGIN + _PAD + number * (width + 10)
        yield (
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROOM}" rx="6" fill="#ffffff" '
            'stroke="#9aa5ad" stroke-width="1"/>'
        )
        yield _text(left + width / 2, top + 19, room.title, 11.5, bold=True, middle=True)
        yield _text(left + width / 2, top + 35, room.words, 11, middle=True)


def _text(left: float, base: float, text: str, size: float, bold: bool = False, middle: bool = False) -> str:
    family = "monospace" if bold and middle else "sans-serif"
    colour = "#1d2730" if bold else "#46525c"
    weight = "bold" if bold else "normal"
    anchor = "middle" if middle else "start"
    return (
        f'<text x="{left:.1f}" y="{base}" font-family="{family}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}" text-anchor="{anchor}">{text}</text>'
    )


def _arrow(top: int) -> str:
    return f'<path d="M{_WIDTH // 2} {top - _GAP} v{_GAP}" stroke="#5b6770" stroke-width="2" marker-end="url(#a)"/>'


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
