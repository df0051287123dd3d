# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one bundle: every file of it is optional (field problem 40), and what cannot be read is a problem of it."""

from __future__ import annotations

import stat
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import (
    FileFacts,
    look,
    read_known_file,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import oci_spec, shim_sockets
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Document, Part, RecordedProcess
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    ROOTFS,
    SPEC,
    WORK_LINK,
    BundleLayout,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.documents import read_document
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.runc_state import RuncState
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.shim_sockets import ShimAddress

ADDRESSES = {"address": shim_sockets.parse_address, "bootstrap.json": shim_sockets.parse_bootstrap}
_PIDS = {"init.pid": "init", "shim.pid": "shim"}


class BundleReading(NamedTuple):
    """All that one container has on disk here.

    parts: roles tombstone, bundle, work, runtime, socket. spec: config.json. entries: what the bundle holds, by name.
    sandbox_ids: the pods that it may belong to, by its annotations and its `sandbox` file. group: see
    oci_spec.shim_group. addresses: where its shim listens, as its files say. pids: that its files name. problems:
    sentences about what could not be looked at; missing: names of what a whole one has. runtime: what runc keeps of it,
    None for nothing.
    """

    container_id: str
    parts: tuple[Part, ...] = ()
    spec: Document | None = None
    entries: tuple[tuple[str, FileFacts], ...] = ()
    sandbox_ids: tuple[str, ...] = ()
    group: str | None = None
    addresses: tuple[ShimAddress, ...] = ()
    pids: tuple[RecordedProcess, ...] = ()
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    runtime: RuncState | None = None

    @property
    def bundle(self) -> Part | None:
        """The bundle directory itself, if it is there."""
        for part in self.parts:
            if part.role == "bundle":
                return part
        return None

    def parts_of(self, *roles: str) -> list[Part]:
        return [part for part in self.parts if part.role in roles]


def read_bundle(
    layout: BundleLayout, state: Directory, container_id: str, known: BundleReading | None = None
) -> BundleReading:
    """What is in the bundle directory of that name; without parts when there is none. Raises Unreadable.

    state: the open directory that has the bundles. known: what this has returned before, which still holds where
    nothing in that directory has changed since.
    """
    facts = look(state, container_id)
    if facts is None:
        return BundleReading(container_id)
    if known is not None and _holds(known, state, facts):
        return known
    part = Part("bundle", container_id, state, container_id, facts)
    if not stat.S_ISDIR(facts.mode):
        return BundleReading(container_id, (part,), problems=(f"{part.path} is no directory",))
    reader = _Reader(layout, container_id)
    try:
        with state.child(container_id).opened() as bundle:
            reader.read(bundle)
    except FileNotFoundError:
        return BundleReading(container_id)
    except StateError as error:
        reader.problems.append(f"{error.where} cannot be read: {error.why}")
    return reader.finish(part)


def _holds(known: BundleReading, state: Directory, facts: FileFacts) -> bool:
    """Whether the directory is the same, with the same names in it, and each of its files too."""
    if known.problems or known.bundle is None or known.bundle.facts != facts or not stat.S_ISDIR(facts.mode):
        return False
    return all(look(state, f"{known.container_id}/{name}") == before for name, before in known.entries)


class _Reader:
    """One reading. The root file system is never entered: it may be anybody's data, or hang (safety.md B6). Nor is the
    link to the work directory followed, which is found by its own name (C9)."""

    def __init__(self, layout: BundleLayout, container_id: str) -> None:
        self.layout = layout
        self.container_id = container_id
        self.spec: Document | None = None
        self.entries: list[tuple[str, FileFacts]] = []
        self.sandboxes: list[str] = []
        self.addresses: list[ShimAddress] = []
        self.pids: list[RecordedProcess] = []
        self.problems: list[str] = []
        self.missing: list[str] = []

    def read(self, bundle: Directory) -> None:
        try:
            names = sorted(bundle.names())
        except OSError as error:
            self.problems.append(f"{bundle.path} cannot be listed: {os_reason(error)}")
            return
        self._note_missing(names)
        for name in names:
            # What is mounted on rootfs is not asked: its server may not answer.
            facts = look(bundle, name) if name != ROOTFS else None
            if facts is not None:
                self.entries.append((name, facts))
                self._read_entry(bundle, name, facts)

    def _note_missing(self, names: list[str]) -> None:
        whole = [SPEC, ROOTFS, WORK_LINK] if self.layout.work_link else [SPEC, ROOTFS]
        self.missing += [name for name in (whole if self.layout.has_engine else [SPEC]) if name not in names]

    def _read_entry(self, bundle: Directory, name: str, facts: FileFacts) -> None:
        try:
            if name == SPEC:
                self.spec = read_document("spec", bundle, name, self.container_id, facts)
                if not self.spec.readable and look(bundle, name) is None:
                    self.spec = None  # it went away while it was read, and that is known for certain
                    self.missing.append(name)
            elif name in ADDRESSES:
                data = read_known_file(bundle, name, facts)
                if data is not None:
                    self.addresses.append(ADDRESSES[name](data, bundle.join(name)))
            elif name in _PIDS:
                self._read_pid(read_known_file(bundle, name, facts) or b"", _PIDS[name])
            elif name == "sandbox":
                data = read_known_file(bundle, name, facts) or b""
                self.sandboxes.append(data.decode("utf-8", "replace").strip())
        except StateError as error:
            self.problems.append(f"{error.where or bundle.join(name)} cannot be read: {error.why}")

    def _read_pid(self, data: bytes, role: str) -> None:
        digits = data.strip()
        if digits.isdigit() and len(digits) <= 9 and int(digits) > 0:
            self.pids.append(RecordedProcess(role, int(digits), self.container_id))

    def finish(self, part: Part) -> BundleReading:
        content = self.spec.content if self.spec is not None else None
        named = (*oci_spec.sandbox_ids(content), *filter(None, self.sandboxes))
        problems = list(self.problems)
        if self.spec is not None and not self.spec.readable:
            problems.append(f"{self.spec.path} cannot be read: {self.spec.problem}")
        return BundleReading(
            self.container_id,
            (part,),
            self.spec,
            tuple(self.entries),
            tuple(dict.fromkeys(named)),
            oci_spec.shim_group(content),
            tuple(dict.fromkeys(self.addresses)),
            tuple(self.pids),
            tuple(problems),
            tuple(self.missing),
        )
