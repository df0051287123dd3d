# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an OCI spec to the host's cgroup directories that it means (cgroups.md). Nothing is looked at, only text.

The same cgroupsPath means other directories to each runtime and each cgroup driver, and the spec does not say which one
made them. So there are two questions: which directories to make (to_make: the rule of Kata 1.3, whose purpose it was),
and which ones may be there (to_find: what runc, runsc and all generations of Kata make of it). What may be there is not
yet the container's: only a leaf whose own name carries the id may be removed (Cgroup.carries).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import FILE_NAME_BYTES
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import Hierarchy

WHERE = "linux.cgroupsPath"

# The controllers of v1 that the rule of Kata 1.3 knows, by the member of linux.resources that asks for them.
_BY_RESOURCE = {"memory": "memory", "cpu": "cpu", "pids": "pids", "blockIO": "blkio"}
_SLICE = ".slice"
_DEFAULT_SLICE, _ROOT_SLICE = "system.slice", "-.slice"
# What an engine, Kata or systemd has of its own, whatever is in it: never a container's (safety.md D7).
_OTHERS = re.compile(
    r"kubepods.*|besteffort|burstable|guaranteed|kata_overhead|"
    r"init\.scope|(system|user|machine|user-\d+)\.slice|.*\.service",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Place(NamedTuple):
    """Where in each hierarchy a spec's cgroup may be. inside: never "/", without "." and "..".

    form: plain; scope (systemd's); kata (renamed by it); overhead (Kata's, of a sandbox); literal (a systemd form that
    was not understood, kata#11325, runtime#2818). owner: the part of its name that a runtime fills with an id.
    """

    inside: str
    form: str
    owner: str


class Cgroup(NamedTuple):
    """A directory of this host that a spec may mean."""

    hierarchy: Hierarchy
    place: Place

    @property
    def path(self) -> str:
        """The absolute path on the host."""
        return self.hierarchy.mount.rstrip("/") + self.place.inside

    def carries(self, object_id: str) -> bool:
        """Whether its own name carries the id, in the form in which a runtime puts it there (safety.md A8, D7).

        "runc-web-1.scope" is of "web-1" and not of "1": which part is the id is known from the spec. An id may also be
        the name of a cgroup that others are in.
        """
        own = self.place.inside.rpartition("/")[2]
        return bool(object_id) and self.place.owner == object_id and not _OTHERS.fullmatch(own)


def to_make(spec: dict[str, Any], of: Sequence[Hierarchy]) -> tuple[Cgroup, ...]:
    """The directories that a new bundle's spec asks for: none unless linux.cgroupsPath and linux.resources are set.

    On v1 one for each of memory, cpu, pids and blkio that resources name, each hierarchy once; on a host with v2 alone
    the one there. A path in systemd's form is the scope in its slice. Raises InvalidInput, naming linux.cgroupsPath.
    """
    linux = spec.get("linux")
    resources = linux.get("resources") if isinstance(linux, dict) else None
    text = _text(spec)
    if not text or not isinstance(resources, dict):
        return ()
    parts = text.split(":")
    if len(parts) == 3 and parts[0].endswith(_SLICE):
        place = _scope(*parts)
    else:
        place = _plain(_resolved(text))
    wanted = {name for key, name in _BY_RESOURCE.items() if resources.get(key) is not None}
    old = [row for row in of if not {*_BY_RESOURCE.values()}.isdisjoint(row.controllers)]
    if old:
        chosen = [row for row in old if not wanted.isdisjoint(row.controllers)]
    else:
        chosen = [row for row in of if wanted and row.unified]
    return tuple(Cgroup(row, place) for row in chosen)


def to_find(
    spec: dict[str, Any],
    container_id: str,
    sandbox_id: str,
    of: Sequence[Hierarchy],
    bases: Sequence[str] = (),
) -> tuple[Cgroup, ...]:
    """Every directory that a runtime may have made for this spec, in every hierarchy, each once.

    sandbox_id: empty where unknown; then Kata's overhead is not among them. bases: cgroups below which a relative path
    may lie beside the root, for example that of an engine's service. Raises InvalidInput for a path that leads outside.
    """
    places: dict[str, Place] = {}
    for place in (*_of_path(_text(spec), container_id, bases), *_overheads(sandbox_id)):
        places.setdefault(place.inside, place)
    return tuple(Cgroup(row, place) for row in of for place in places.values())


def _of_path(text: str, container_id: str, bases: Sequence[str]) -> list[Place]:
    """What a cgroupsPath may have become."""
    if not text:
        # What runc's systemd driver makes of no path. Its other driver, and Kata, have none of their own then.
        return [_scope("", "runc", container_id)]
    found: list[Place] = []
    parts = text.split(":")
    systemd = len(parts) == 3 and "/" not in text and (not parts[0] or parts[0].endswith(_SLICE))
    if systemd:
        with suppress(InvalidInput):  # no systemd would have taken it; who took it literally may have left it
            found.append(_scope(*parts))
    whole = _resolved(text)
    plain = [whole] if text.startswith("/") else [_resolved(text, base) for base in ("/", *bases)]
    kata = _renamed(whole) if text.startswith("/") else "/vc" + _renamed(whole)
    found += [Place(path, "literal", parts[2]) if systemd else _plain(path) for path in plain]
    # Kata 1.4 to 2.2 had an overhead cgroup of the same name below /kata.
    owner = found[-1].owner
    return [*found, Place(kata, "kata", owner), Place("/kata" + kata, "kata", owner)]


def _overheads(sandbox_id: str) -> list[Place]:
    """Kata's cgroup for what is not the guest: Go since 2.3 and runtime-rs, and systemd's form of the latter."""
    if not sandbox_id:
        return []
    slice_name, prefix = "kata-overhead.slice", "runtime-rs"
    return [
        Place(_resolved(f"/kata_overhead/{sandbox_id}"), "overhead", sandbox_id),
        _scope(slice_name, prefix, sandbox_id)._replace(form="overhead"),
        Place(_resolved(f"/{slice_name}:{prefix}:{sandbox_id}"), "literal", sandbox_id),
    ]


def _text(spec: dict[str, Any]) -> str:
    """linux.cgroupsPath, or empty where it is not set."""
    linux = spec.get("linux")
    value = linux.get("cgroupsPath") if isinstance(linux, dict) else None
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise InvalidInput(WHERE, f"it is a {type(value).__name__}, not a text", "Quote it.")
    if _CONTROL.search(value):
        raise InvalidInput(WHERE, f"{value!r} has a control character or is not valid Unicode", "Give another path.")
    return value


def _resolved(text: str, base: str = "/") -> str:
    """A path in a hierarchy without "." and ".."; it stays below the base and is not the base itself (CG3)."""
    names: list[str] = []
    for name in text.split("/"):
        if name in ("", "."):
            continue
        if name != "..":
            names.append(name)
        elif names:
            names.pop()
        else:
            raise InvalidInput(WHERE, f"'{text}' leads out of the cgroup tree", "Give a path without '..'.")
    if not names:
        raise InvalidInput(WHERE, f"'{text}' is no cgroup of its own", "Give a path that ends with a name.")
    if len(text.encode("utf-8")) > FILE_NAME_BYTES:  # as hardly any is
        _refuse_long_name(names)
    return "/".join([base.rstrip("/"), *names])


def _refuse_long_name(names: Sequence[str]) -> None:
    longest = max(names, key=lambda name: len(name.encode("utf-8")))
    if len(longest.encode("utf-8")) > FILE_NAME_BYTES:
        raise InvalidInput(WHERE, f"'{longest[:40]}…' is too long for a name", f"A name has at most {FILE_NAME_BYTES}.")


def _plain(path: str) -> Place:
    return Place(path, "plain", path.rpartition("/")[2])


def _renamed(path: str) -> str:
    """Kata's own name for a cgroup: the last part becomes kata_<base>."""
    parent, _slash, base = path.rpartition("/")
    return f"{parent}/kata_{base}"


def _scope(slice_name: str, prefix: str, name: str) -> Place:
    """Where systemd puts the unit of slice:prefix:name: /a.slice/a-b.slice/prefix-name.scope. Raises InvalidInput."""
    shown = f"{slice_name}:{prefix}:{name}"
    if "/" in shown or not name:
        raise InvalidInput(WHERE, f"'{shown}' is no systemd form", "Its form is slice:prefix:name, without '/'.")
    slice_name = slice_name or _DEFAULT_SLICE
    parts = slice_name[: -len(_SLICE)].split("-")
    if not slice_name.endswith(_SLICE) or (not all(parts) and slice_name != _ROOT_SLICE):
        raise InvalidInput(WHERE, f"'{slice_name}' is no name of a slice", "It is like a-b.slice, no part is empty.")
    if slice_name == _ROOT_SLICE:
        parts = []
    expanded = [f"{'-'.join(parts[: count + 1])}{_SLICE}" for count in range(len(parts))]
    unit = name if name.endswith(_SLICE) else f"{prefix}-{name}.scope"
    return Place(_resolved("/".join([*expanded, unit])), "scope", name)
