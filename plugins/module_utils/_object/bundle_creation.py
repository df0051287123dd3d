# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state=present has to make or mend of a bundle; all of it is taken back when a step fails (containerd#2605)."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import remove_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InvalidInput,
    Mounted,
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_new_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import NewFile, NewTree
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, remove_empty
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json, oci_spec
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    INNER_MODE,
    NAMES,
    ROOTFS,
    SPEC,
    TOMBSTONE_PREFIX,
    WORK_LINK,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import hierarchies, to_make
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import Bundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import (
    MakeCgroup,
    MakeLink,
    SetMode,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change, Write, gone_meanwhile
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
        return plan_present(self, view)

    def apply(self, plan: Plan, durable: bool) -> None:
        make_all(self, plan, durable)


def plan_present(item: Bundle, view: HostView) -> Plan:
    """Compare the bundle with what is wished. Nothing of a live one is changed (safety.md F3)."""
    bundle = item.reading.bundle
    item.creating = bundle is None
    if bundle is not None and item.wish.fail_if_exists:
        raise AlreadyExists("", "it exists already", "Nothing was changed. Remove it, or leave fail_if_exists out.")
    if bundle is not None and not stat.S_ISDIR(bundle.facts.mode):
        raise Unreadable(bundle.path, "it is no directory", "Nothing was changed. Remove it first.")
    changes = _creation(item) if bundle is None else _mending(item)
    changes += _cgroups(item, view)
    if changes:
        item.refuse_unless_dead(view, creating=item.creating)
        _refuse_mounts(item, view)
    left = [RemoveTree(one.role, one.directory, one.name, one.facts.identity) for one in _free_tombstones(item, view)]
    if not changes and not left:
        return Plan(note=_note(item))
    action = "created" if bundle is None else "updated"
    return Plan(action, (*left, *changes), note=_note(item))


def _free_tombstones(item: Bundle, view: HostView) -> list[Part]:
    """What a broken delete left goes as well, where nothing is mounted in it."""
    return [
        part for part in item.tombstones(view) if not view.mounts.in_the_way(part.path) and not view.mounts.unreadable
    ]


def _creation(item: Bundle) -> list[Change]:
    """A new bundle: the work directory first, then all of the bundle in one step."""
    wish, place = item.wish, item.place
    check_new_name(wish.container_id, "container_id", NAMES)
    if wish.spec is None:
        raise InvalidInput("", "it does not exist, and there is nothing to make it from", "Give spec or spec_file.")
    spec = dict(wish.spec)
    write = _write(item, place.state.child(wish.container_id))
    changes: list[Change] = []
    links: tuple[tuple[str, str], ...] = ()
    directories = _rootfs(item, spec)
    if place.layout.has_engine:
        changes += _work_directory(item)
        if place.layout.work_link:
            links = ((WORK_LINK, place.work.join(wish.container_id)),)
    files = (NewFile(SPEC, write.data, write.mode),)
    group = oci_spec.mapped_gid(spec) or None
    tree = NewTree(oci_spec.bundle_mode(spec), files, directories, False, links, group)
    return [*changes, MakeTree("bundle", place.state, wish.container_id, tree, (write,))]


def _rootfs(item: Bundle, spec: dict[str, object]) -> tuple[tuple[str, int], ...]:
    """The directory that a root file system is mounted on or put into. One elsewhere is the caller's."""
    if item.place.layout.has_engine:
        return ((ROOTFS, INNER_MODE),)
    root = spec["root"]
    path = str(root["path"]) if isinstance(root, dict) else ROOTFS
    if path.startswith("/"):
        with item.place.roots.open(path) as directory:
            if not directory.exists:
                raise InvalidInput("spec.root.path", f"there is no directory {path}", "Make it first.")
        return ()
    name = os.path.normpath(path)
    if "/" in name or name in (".", ".."):
        raise InvalidInput(
            "spec.root.path", f"'{path}' is not directly in the bundle", "Give one name, or a full path."
        )
    return ((name, INNER_MODE),)


def _work_directory(item: Bundle) -> list[Change]:
    """C3: one that an older container left is never used again."""
    for part in item.reading.parts_of("work"):
        if not stat.S_ISDIR(part.facts.mode) or _is_filled(part.directory.child(part.name)):
            raise AlreadyExists(part.path, "it is left from an older container", "Remove that with state=absent first.")
        return []
    return [MakeEntry("work", item.place.work, item.wish.container_id, INNER_MODE, True)]


def _is_filled(directory: Directory) -> bool:
    try:
        with directory.opened() as opened:
            return bool(opened.names())
    except FileNotFoundError:
        return False


def _write(item: Bundle, directory: Directory) -> Write:
    spec = dict(item.wish.spec or {})
    old = item.reading.spec
    before = old.content if old is not None else None
    umask = os.umask(0)
    os.umask(umask)
    return Write("spec", directory, SPEC, go_json.encode(spec, "spec"), 0o666 & ~umask, old is not None, before, spec)


def _mending(item: Bundle) -> list[Change]:
    """What differs in meaning, and what is missing."""
    wish, place, reading = item.wish, item.place, item.reading
    directory = place.state.child(wish.container_id)
    changes: list[Change] = []
    content = reading.spec.content if reading.spec is not None else None
    if wish.spec is not None and not go_json.same(content, dict(wish.spec)):
        changes.append(_write(item, directory))
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
        gid = _group_of(directory)
        if stat.S_IMODE(bundle.facts.mode) != mode or (group and gid != group):
            changes.append(SetMode("mode", directory, mode, group or gid))
    return changes


def _group_of(directory: Directory) -> int:
    try:
        with directory.opened() as opened:
            return os.fstat(opened.fd).st_gid
    except FileNotFoundError as error:
        raise gone_meanwhile(directory) from error


def _cgroups(item: Bundle, view: HostView) -> list[Change]:
    spec = item.wish.spec
    if not item.wish.cgroups or spec is None:
        return []
    found = view.once("hierarchies", lambda: hierarchies(view.mounts.own.mounts))
    return [
        MakeCgroup(cgroup.path) for cgroup in to_make(dict(spec), found) if not cgroup_directories.exists(cgroup.path)
    ]


def _refuse_mounts(item: Bundle, view: HostView) -> None:
    """What is mounted on the bundle itself is not its own, and would be written to."""
    bundle = item.reading.bundle
    mounts = view.mounts.own.at_or_below(bundle.path) if bundle is not None else []
    if mounts:
        shown = "; ".join(view.mounts.own.describe(mount) for mount in mounts[:3])
        raise Mounted("", f"something is mounted in it ({shown})", "Unmount it first. Nothing was changed.")


def _note(item: Bundle) -> str:
    """What is wrong and is left as it is, since nothing was given for it."""
    spec = item.reading.spec
    if item.wish.spec is not None or item.reading.bundle is None:
        return ""
    if spec is None:
        return f"{item.reading.bundle.path}/{SPEC} is missing. Give spec or spec_file to write it."
    return f"{spec.path}: {spec.problem}. Give spec or spec_file to write it again." if spec.problem else ""


def make_all(item: Bundle, plan: Plan, durable: bool) -> None:
    """Make the changes. When one fails, exactly what this run made is removed again."""
    for change in plan.changes:
        if isinstance(change, RemoveTree) and change.remove():
            item.did(change.directory)
    kept = item.acted
    with ExitStack() as held:
        undo = ExitStack()
        try:
            for change in plan.changes:
                _make(item, change, durable, undo, held)
                kept = kept or isinstance(change, (Write, SetMode))  # these replaced something, and stay
        except StateError:
            undo.close()
            item.acted = kept
            raise


def _make(item: Bundle, change: Change, durable: bool, undo: ExitStack, held: ExitStack) -> None:
    if isinstance(change, MakeTree):
        _make_bundle(item, change, durable, undo, held)
    elif isinstance(change, MakeCgroup):
        made = cgroup_directories.make(change.path)
        undo.callback(cgroup_directories.take_back, made)
        item.acted = item.acted or bool(made)
    elif isinstance(change, (MakeEntry, MakeLink)):
        if change.make():
            item.did(change.directory)
            undo.callback(_take_back, change)
    elif isinstance(change, SetMode):
        change.make()
        item.did(item.place.state)
    elif isinstance(change, Write):
        change.make(durable)
        item.did(change.directory)


def _make_bundle(item: Bundle, change: MakeTree, durable: bool, undo: ExitStack, held: ExitStack) -> None:
    """The exclusive rename is the check that the name is free (field problem 36)."""
    tree = change.built(change.directory, item.wish.container_id, durable, TOMBSTONE_PREFIX)
    held.callback(tree.close)
    undo.callback(tree.discard)
    tree.put()
    item.did(change.directory)


def _take_back(change: MakeEntry | MakeLink) -> None:
    if isinstance(change, MakeEntry):
        remove_empty((change.path,))
    else:
        with suppress(FileNotFoundError), change.directory.opened() as directory:
            remove_file(directory, change.name)
