# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that hypothesis makes up: what lies on each, who of it lives, and therefore what may go.

What is true of a host follows from how it was made, and from nothing that the collection's own code says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible_collections.sandboxed.containers.tests.lab.kata_programs import OWNERS
from hypothesis import strategies as st

LONG = "0123456789abcdef" * 2 + "01234567"
CUT = 32  # characters of an id are what Firecracker is told (safety.md A8)
# Parts of each other, equal in the first 32 characters, and the same for objects of different kinds.
NAMES = ("we", "web", "web-1", "web-10", "web-1-app", "1-web", "WEB-1", LONG, LONG[:CUT] + "f" * 8)
KATA = ("kata_store", "kata_persist", "kata_rs")
GVISOR = ("gvisor", "gvisor_legacy")
SANDBOX, BUNDLE, MAPPING, SOCKET, ORPHAN, STRAY = "sandbox", "bundle", "mapping", "socket", "orphan", "stray"
DEAD, YOUNG, LOCKED, LISTENER, STRANGER = "dead", "young", "locked", "listener", "stranger"
_GVISOR_OWNERS = ("sandbox", "gofer", "command")
# A document, or what is in its place. The first say nothing, so that processes decide; of the others nobody can tell.
SAYS_NOTHING = ("empty", "cut", "missing")
UNREADABLE = ("fifo", "link", "huge", "folder")
WHOLE = "whole"
_STRAYS = ("qemu", "virtiofsd", "cloud hypervisor")


@dataclass(frozen=True)
class Thing:
    """One object with what belongs to it. kind: what it is. other: a container, pod or sandbox that it names as well.

    life: dead, young, locked, …, else the program that owns it. damage: of its document. extras: what it has beside.
    """

    kind: str
    layout: str
    name: str
    other: str
    life: str
    damage: str
    extras: frozenset[str]

    @property
    def place(self) -> tuple[str, ...]:
        """Two of the same place would be one."""
        if self.kind == SANDBOX:
            return (self.kind, "vc" if self.layout in ("kata_store", "kata_persist") else self.layout, self.name)
        if self.kind == ORPHAN:
            return (self.kind, "share" if self.layout == "share" else "vm", self.name)
        return (self.kind, self.layout, self.name)

    @property
    def claims(self) -> frozenset[tuple[str, str]]:
        """The bundles, mappings and VM directories that are made for it: each can be made once."""
        both = {self.name, self.other} - {""}
        if self.kind in (BUNDLE, MAPPING):
            return frozenset({(self.kind, self.name)})
        if self.kind == SANDBOX and self.layout in KATA:
            wanted = [(BUNDLE, "bundles"), (MAPPING, "mappings")]
            found = {(kind, name) for kind, extra in wanted if extra in self.extras for name in both}
            return frozenset({(BUNDLE, self.name), ("vm", self.name), *found})  # its processes work in its bundle
        return frozenset({("vm", self.name)} if self.kind == STRAY or self.layout == "factory" else ())

    @property
    def names(self) -> frozenset[str]:
        """The ids that it carries."""
        if self.kind == SOCKET:
            return frozenset()
        # The Rust runtime's state does not tell the containers, but what else there is of them does.
        told = self.layout in ("kata_store", "kata_persist") or bool({"bundles", "mappings"} & self.extras)
        inside = (
            self.kind == MAPPING
            or (self.kind == BUNDLE and self.damage == WHOLE)
            or (self.kind == SANDBOX and self.layout in KATA and told)
        )
        return frozenset({self.name, *([self.other] if inside and self.other else [])})

    @property
    def lives(self) -> bool:
        return self.kind != STRAY and self.life not in (DEAD, YOUNG, LOCKED, STRANGER)

    @property
    def keeps(self) -> bool:
        """Whether it keeps itself and all that is tied to it."""
        by_whom = self.kind != STRAY and self.life != DEAD and not self._is_named_in_vain
        return by_whom or self.damage in UNREADABLE

    @property
    def _is_named_in_vain(self) -> bool:
        """Of gVisor's programs all carry a root directory: whoever else has the name proves nothing."""
        return self.life == STRANGER and self.layout in GVISOR

    @property
    def is_unsure(self) -> bool:
        """Whether it may be kept or may go, for reasons that are none of its own."""
        damaged = self.damage in SAYS_NOTHING
        # Any sandbox of gVisor's old layout may own a state that does not tell whose it is; a bundle that does not tell
        # its pod may be of any (A6).
        return self._is_named_in_vain or (damaged and (self.layout == "gvisor_legacy" or self.kind == BUNDLE))


@dataclass(frozen=True)
class MadeUp:
    """One host. engine: nothing, containerd's database that cannot be read, or one that runs and lists nothing."""

    things: tuple[Thing, ...]
    engine: str
    unmount: bool
    stop: bool

    def truth(self) -> dict[Thing, str]:
        """What must become of each thing: keep, go, or either."""
        found: dict[Thing, str] = {}
        for group in _groups(self.things):
            has_stray = any(one.kind == STRAY for one in group)
            on_disk = any(one.kind != STRAY for one in group)
            kept = any(self._keeps(one) for one in group) or (has_stray and on_disk)
            unsure = any(one.is_unsure or self._is_unsure(one) for one in group)
            for one in group:
                stays = one.kind == STRAY and not self.stop
                found[one] = "keep" if kept or stays else "either" if unsure else "go"
        return found

    def _keeps(self, one: Thing) -> bool:
        """What lists containers cannot be read, so that everything may be in it (A5); a socket has no container."""
        return one.keeps or (one.kind != SOCKET and self.engine == "unreadable")

    def _is_unsure(self, one: Thing) -> bool:
        """What is mounted is kept where it may not be unmounted, and what is Firecracker's may be another's (A8)."""
        alike = [other for other in self.things if other is not one and other.name[:CUT] == one.name[:CUT]]
        firecracker = len(one.name) > CUT and any("firecracker" in other.life for other in alike)
        return firecracker or ("mounted" in one.extras and not self.unmount)


def _groups(things: Iterable[Thing]) -> list[list[Thing]]:
    """Those that share a name, directly or through others."""
    groups: list[tuple[set[str], list[Thing]]] = []
    for one in things:
        names, members = set(one.names), [one]
        for group in [group for group in groups if group[0] & names]:
            names |= group[0]
            members += group[1]
            groups.remove(group)
        groups.append((names, members))
    return [members for _names, members in groups]


def _things(
    kind: str, layouts: Iterable[str], lives: Callable[[str], list[str]], extras: str
) -> st.SearchStrategy[Thing]:
    """Half of them dead, since a host on which all live has nothing to lose."""
    some = st.frozensets(st.sampled_from(extras.split()), max_size=4) if extras else st.just(frozenset())
    damage = st.sampled_from((WHOLE,) * 8 + SAYS_NOTHING + UNREADABLE) if kind in (SANDBOX, BUNDLE) else st.just(WHOLE)
    return st.sampled_from(sorted(layouts)).flatmap(
        lambda layout: st.builds(
            Thing,
            st.just(kind),
            st.just(layout),
            st.sampled_from(NAMES),
            st.sampled_from(("", *NAMES)),
            st.sampled_from([*([DEAD] * len(lives(layout)) if kind != STRAY else []), *lives(layout)]),
            damage,
            some,
        )
    )


def _kata_lives(layout: str) -> list[str]:
    return [YOUNG, LISTENER, STRANGER, *([] if layout == "kata_rs" else [LOCKED]), *OWNERS[layout]]


_ANY = st.one_of(
    _things(SANDBOX, KATA, _kata_lives, "bundles mappings share vm initdata mounted residue"),
    _things(SANDBOX, GVISOR, lambda _layout: [YOUNG, LOCKED, STRANGER, *_GVISOR_OWNERS], "nolock namespace container"),
    _things(BUNDLE, [""], lambda _layout: [YOUNG, LISTENER, STRANGER, "shim", "rooted"], "work socket rest mounted"),
    _things(MAPPING, [""], lambda _layout: [YOUNG, STRANGER], ""),
    _things(SOCKET, [""], lambda _layout: [YOUNG, LISTENER], ""),
    _things(ORPHAN, ["share", "vm", "factory"], lambda _layout: [YOUNG, STRANGER], "mounted"),
    _things(STRAY, KATA, lambda layout: [kind for kind in _STRAYS if kind in OWNERS[layout]], ""),
)  # fmt: skip


def _without_doubles(things: list[Thing]) -> tuple[Thing, ...]:
    kept: list[Thing] = []
    for one in things:
        if not any(one.claims & other.claims for other in kept):
            kept.append(one)
    return tuple(kept)


HOSTS = st.builds(
    MadeUp,
    st.lists(_ANY, min_size=1, max_size=8, unique_by=lambda one: one.place).map(_without_doubles),
    st.sampled_from(["", "", "", "unreadable", "runs"]),
    st.booleans(),
    st.booleans(),
)
