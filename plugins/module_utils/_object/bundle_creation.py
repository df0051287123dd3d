# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state=present has to make or mend of a bundle; all of it is taken back when a step fails (containerd#2605)."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories, cgroup_population
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import remove_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InvalidInput,
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    check_new_name,
    check_passable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import NewFile, NewTree
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, remove_empty
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json, oci_spec
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    INNER_MODE,
    NAMES,
    ROOTFS,
    SPEC,
    TOMBSTONE_PREFIX,
    WORK_LINK,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import to_make
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal, rests
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import Bundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import (
    MakeCgroup,
    MakeLink,
    SetMode,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import hierarchies_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change, Write, still_there
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import (
    MakeEntry,
    MakeTree,
    RemoveTree,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class PresentBundle(Bundle):
    """One that is to be there."""

    def compare(self, view: HostView) -> Plan:
        """Compare the bundle with what is wished. Nothing of a live one is changed (safety.md F3)."""
        bundle = self.reading.bundle
        self.creating = bundle is None
        if bundle is not None and self.wish.fail_if_exists:
            raise AlreadyExists("", "it exists already", "Nothing was changed. Remove it, or leave fail_if_exists out.")
        if bundle is not None and not stat.S_ISDIR(bundle.facts.mode):
            raise Unreadable(bundle.path, "it is no directory", "Nothing was changed. Remove it first.")
        changes = self._creation() if bundle is None else self._mending()
        changes += self._cgroups(view)
        if changes:
            self.refuse_unless_dead(view, creating=self.creating)
            removal.refuse_mounts_in(self.reading.parts_of("bundle"), view)
        plan = Plan("created" if bundle is None else "updated", tuple(changes)) if changes else Plan()
        left = rests.unmounted(self.tombstones(view), view)
        return rests.finished_first(plan, left, "updated")._replace(note=self._note())

    def _creation(self) -> list[Change]:
        """A new bundle: the work directory first, then all of the bundle in one step."""
        wish, place = self.wish, self.place
        check_new_name(wish.container_id, "container_id", NAMES)
        if wish.spec is None:
            raise InvalidInput("", "it does not exist, and there is nothing to make it from", "Give spec or spec_file.")
        spec = dict(wish.spec)
        write = self._write(place.state.child(wish.container_id))
        changes: list[Change] = []
        links: tuple[tuple[str, str], ...] = ()
        directories = self._rootfs(spec)
        if place.layout.has_engine:
            changes += self._work_directory()
            if place.layout.work_link:
                links = ((WORK_LINK, place.work.join(wish.container_id)),)
        files = (NewFile(SPEC, write.data, write.mode),)
        group = oci_spec.mapped_gid(spec) or None
        tree = NewTree(oci_spec.bundle_mode(spec), files, directories, False, links, group)
        return [*changes, MakeTree("bundle", place.state, wish.container_id, tree, (write,))]

    def _rootfs(self, spec: dict[str, object]) -> tuple[tuple[str, int], ...]:
        """The directory that a root file system is mounted on or put into. One elsewhere is the caller's."""
        if self.place.layout.has_engine:
            return ((ROOTFS, INNER_MODE),)
        root = spec["root"]
        path = str(root["path"]) if isinstance(root, dict) else ROOTFS
        check_passable(path, "spec.root.path")
        if path.startswith("/"):
            with self.place.roots.open(path) as directory:
                if not directory.exists:
                    raise InvalidInput("spec.root.path", f"there is no directory {path}", "Make it first.")
            return ()
        name = os.path.normpath(path)
        if "/" in name or name in (".", ".."):
            raise InvalidInput(
                "spec.root.path", f"'{path}' is not directly in the bundle", "Give one name, or a full path."
            )
        if name == SPEC:
            raise InvalidInput("spec.root.path", f"'{path}' is where the spec itself goes", "Give another name.")
        return ((name, INNER_MODE),)

    def _work_directory(self) -> list[Change]:
        """C3: one that an older container left is never used again."""
        for part in self.reading.parts_of("work"):
            if not stat.S_ISDIR(part.facts.mode) or _is_filled(part.directory.child(part.name)):
                raise AlreadyExists(
                    part.path, "it is left from an older container", "Remove that with state=absent first."
                )
            return []
        return [MakeEntry("work", self.place.work, self.wish.container_id, INNER_MODE, True)]

    def _write(self, directory: Directory) -> Write:
        spec = dict(self.wish.spec or {})
        old = self.reading.spec
        before = old.content if old is not None else None
        umask = os.umask(0)
        os.umask(umask)
        return Write(
            "spec", directory, SPEC, go_json.encode(spec, "spec"), 0o666 & ~umask, old is not None, before, spec
        )

    def _mending(self) -> list[Change]:
        """What differs in meaning, and what is missing."""
        wish, place, reading = self.wish, self.place, self.reading
        directory = place.state.child(wish.container_id)
        changes = self._root_directory(directory)
        content = reading.spec.content if reading.spec is not None else None
        if wish.spec is not None and not go_json.same(content, dict(wish.spec)):
            changes.append(self._write(directory))
        if place.layout.has_engine:
            if not reading.parts_of("work"):
                changes.append(MakeEntry("work", place.work, wish.container_id, INNER_MODE, True))
            if ROOTFS in reading.missing:
                changes.append(MakeEntry("rootfs", directory, ROOTFS, INNER_MODE, True))
            if WORK_LINK in reading.missing:
                changes.append(MakeLink("work", directory, WORK_LINK, place.work.join(wish.container_id)))
        bundle = reading.bundle
        spec = wish.spec if wish.spec is not None else content
        if bundle is not None and spec is not None:
            mode, group = oci_spec.bundle_mode(spec), oci_spec.mapped_gid(spec)
            with still_there(directory) as opened:
                gid = os.fstat(opened.fd).st_gid
            old = (stat.S_IMODE(bundle.facts.mode), gid)
            if old != (mode, group or gid):
                changes.append(SetMode("mode", directory, mode, group or gid, old))
        return changes

    def _root_directory(self, directory: Directory) -> list[Change]:
        """That of an existing bundle without an engine, where nothing has its name yet. Raises as _rootfs does."""
        if self.place.layout.has_engine or self.wish.spec is None:
            return []
        wanted = self._rootfs(dict(self.wish.spec))
        with still_there(directory) as opened:
            there = opened.listed()  # the entry itself is not asked: what is mounted on it may hang (safety.md B6)
        return [MakeEntry("rootfs", directory, name, mode, True) for name, mode in wanted if name not in there]

    def _cgroups(self, view: HostView) -> list[Change]:
        spec = self.wish.spec
        if not self.wish.cgroups or spec is None:
            return []
        wanted = to_make(dict(spec), hierarchies_of(view))
        return [MakeCgroup(cgroup.path) for cgroup in wanted if not cgroup_population.exists(cgroup.path)]

    def _note(self) -> str:
        """What is wrong and is left as it is, since nothing was given for it."""
        spec = self.reading.spec
        if self.wish.spec is not None or self.reading.bundle is None:
            return ""
        if spec is None:
            return f"{self.reading.bundle.path}/{SPEC} is missing. Give spec or spec_file to write it."
        return f"{spec.path}: {spec.problem}. Give spec or spec_file to write it again." if spec.problem else ""

    def apply(self, plan: Plan, durable: bool) -> None:
        """Make the changes. When one fails, exactly what this run made is removed again."""
        for change in plan.changes:
            if isinstance(change, RemoveTree) and change.remove():
                self.did(change.directory)
        kept = self.acted
        with ExitStack() as held:
            undo = ExitStack()
            try:
                for change in plan.changes:
                    self._make(change, durable, undo, held)
                    kept = kept or isinstance(change, (Write, SetMode))  # these replaced something, and stay
            except StateError:
                undo.close()
                self.acted = kept
                raise

    def _make(self, change: Change, durable: bool, undo: ExitStack, held: ExitStack) -> None:
        if isinstance(change, MakeTree):
            self._make_bundle(change, durable, undo, held)
        elif isinstance(change, MakeCgroup):
            made = cgroup_directories.make(change.path)
            undo.callback(cgroup_directories.take_back, made)
            self.acted = self.acted or bool(made)
        elif isinstance(change, (MakeEntry, MakeLink)):
            if change.make():
                self.did(change.directory)
                undo.callback(_take_back, change)
        elif isinstance(change, SetMode):
            change.make()
            self.did(self.place.state)
        elif isinstance(change, Write):
            change.make(durable)
            self.did(change.directory)

    def _make_bundle(self, change: MakeTree, durable: bool, undo: ExitStack, held: ExitStack) -> None:
        """The exclusive rename is the check that the name is free (field problem 36)."""
        tree = change.built(change.directory, self.wish.container_id, durable, TOMBSTONE_PREFIX)
        held.callback(tree.close)
        undo.callback(tree.discard)
        tree.put()
        self.did(change.directory)


def _is_filled(directory: Directory) -> bool:
    try:
        with directory.opened() as opened:
            return bool(opened.listed())
    except FileNotFoundError:
        return False


def _take_back(change: MakeEntry | MakeLink) -> None:
    if isinstance(change, MakeEntry):
        remove_empty((change.path,))
    else:
        with suppress(FileNotFoundError), change.directory.opened() as directory:
            remove_file(directory, change.name)
