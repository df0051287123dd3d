# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of one namespace of bundles on one host, and what they hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InvalidInput,
    StateError,
    Unreadable,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import is_engines_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, own_lock_place
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_below,
    open_given,
    open_reached,
    remove_empty,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import (
    BundleReading,
    read_bundle,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    CONFIGURATION,
    ENGINE_ROOTS,
    INNER_MODE,
    LAYOUTS,
    ROOT_MODE,
    STATE_ROOT,
    STATE_ROOTS,
    TOMBSTONE_PREFIX,
    WORK_ROOT,
    BundleLayout,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import METADATA_FOLDER
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.runc_state import read_runc_state
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.shim_sockets import (
    SOCKET_FOLDER,
    derived_paths,
    is_shim_socket,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class Listing(NamedTuple):
    """One look at the names in a directory of bundles. tombstones: hidden names by each id that they may be of."""

    ids: frozenset[str]
    tombstones: dict[str, list[str]]


class BundleRoots(NamedTuple):
    """What the user says of the directories. state, work: containerd's own; path: of bundles without an engine.

    None: the defaults, below host_root. others: state directories of further containerds, as seen from here. found:
    nobody gave them, they were found on that host, and no link in them leads out of it either.
    """

    host_root: str
    state: str | None = None
    work: str | None = None
    path: str | None = None
    others: tuple[str, ...] = ()
    found: bool = False


class BundlePlace:
    """One namespace of a layout. state: the directory of its bundles; work: of their work directories; runtime: of what
    runc keeps; sockets: where shims listen. Each may not exist. why_no_list: why it is not known which containerd lists
    them, empty where it is."""

    def __init__(self, layout: BundleLayout, namespace: str, given: BundleRoots) -> None:
        self.layout = layout
        self.namespace = namespace
        self._given = given
        none = Directory(-1, "")
        self.why_no_list = ""
        if layout.has_engine:
            if given.state is not None and given.work is None:
                given = self._given = given._replace(work=_work_beside(given.state))
                if given.work is None:
                    self.why_no_list = f"which one is that of {given.state} is not known (give work_root as well)"
            self.state = self._open(given.state, STATE_ROOT, layout.inside, namespace)
            self.work = self._open(given.work, WORK_ROOT, layout.inside, namespace)
            self.runtime = self._open(given.state, STATE_ROOT, "runc", namespace)
            self.metadata = self._open(given.work, WORK_ROOT, METADATA_FOLDER, "")
            self.sockets = open_below(given.host_root, SOCKET_FOLDER)
        else:
            self.state = self._open(given.path, "", "", "")
            self.work = self.runtime = self.metadata = self.sockets = none
        self.daemon = os.path.join(given.state or STATE_ROOT, "containerd.sock")
        self.roots = Roots(given.host_root, {"state_root": self.state})
        self._own_lock: LockPlace | None = None
        self.made: list[Directory] = []

    def _open(self, given: str | None, default: str, inside: str, namespace: str, create: bool = False) -> Directory:
        above = "/".join(filter(None, [given or default, inside]))
        if not namespace:
            return self._at(above, given is not None, create)
        found = self._at(f"{above}/{namespace}", given is not None, create)
        # The user names containerd's directories, links and all; a namespace is one of the names in them (C9).
        with self._at(above, given is not None) as folder:
            if found.path != folder.join(namespace):
                why = f"{folder.join(namespace)} is a link to {found.path}, and no namespace of containerd's"
                raise InvalidInput("namespace", why, "Remove the link.")
        return found

    def _at(self, path: str, as_it_is: bool, create: bool = False) -> Directory:
        mode = INNER_MODE if create else None
        if not as_it_is:
            return open_below(self._given.host_root, path, mode, ROOT_MODE)
        if self._given.found:
            return open_reached(self._given.host_root, path, mode, ROOT_MODE)
        return open_given(path, mode, ROOT_MODE)

    def is_set_up(self, view: HostView) -> bool:
        """Whether a containerd with the usual directories is set up on this host. Raises StateError."""
        given = self._given
        if given.state is not None and given.state != given.host_root.rstrip("/") + STATE_ROOT:
            return False
        return view.once(("containerd is set up", given.host_root), lambda: _has_configuration(given.host_root))

    def create(self) -> None:
        """Make the directories that are missing, as containerd would (0711)."""
        given, layout = self._given, self.layout
        if not self.state.exists:
            self.state = self._open(given.state or given.path, STATE_ROOT, layout.inside, self.namespace, create=True)
            self.made.append(self.state)
        if layout.has_engine and not self.work.exists:
            self.work = self._open(given.work, WORK_ROOT, layout.inside, self.namespace, create=True)
            self.made.append(self.work)

    def remove_empty_roots(self) -> None:
        """Take back the directories that were made for something that then could not be made."""
        for directory in self.made:
            remove_empty(directory.made)

    def own_lock(self) -> LockPlace:
        """Our own lock: bundles have none (safety.md C2). Raises Unreadable and WriteFailed."""
        if self._own_lock is None:
            self._own_lock = own_lock_place(self.state.path)
        return self._own_lock

    # reading

    def ids(self, view: HostView) -> list[str]:
        """All ids of which anything is left in this namespace, sorted. Raises Unreadable."""
        listings = [self._listing(self.state, view), self._listing(self.work, view)]
        found = {name for one in listings for name in (*one.ids, *one.tombstones)}
        return sorted(found.union(self._listing(self.runtime, view).tombstones))

    def namespaces(self) -> list[str]:
        """The namespaces that this layout has bundles or work directories in; asked of the place of none ("")."""
        found = {name for directory in (self.state, self.work) for name in _folders(directory)}
        return sorted(name for name in found if not name.startswith("."))

    def _listing(self, directory: Directory, view: HostView) -> Listing:
        engines = self.layout.has_engine and directory is not self.runtime  # runc has no hidden names of its own
        return view.once(("bundles in", directory.path), lambda: _list(directory, engines))

    def read_bundle(self, container_id: str, known: BundleReading | None = None) -> BundleReading:
        """What is in its bundle. known: what this has returned before. Raises Unreadable."""
        if not self.state.exists:
            return BundleReading(container_id)
        return read_bundle(self.layout, self.state, container_id, known)

    def read(self, container_id: str, view: HostView, bundle: BundleReading | None = None) -> BundleReading:
        """All that one container has here. bundle: what is in its bundle, if that was read just now.

        Raises Unreadable.
        """
        found = self.read_bundle(container_id) if bundle is None else bundle
        parts = [*self._tombstones(container_id, view), *found.parts]
        if self.work.exists and (facts := look(self.work, container_id)) is not None:
            parts.append(Part("work", container_id, self.work, container_id, facts))
        runtime = None
        if self.runtime.exists and (facts := look(self.runtime, container_id)) is not None:
            parts.append(Part("runtime", container_id, self.runtime, container_id, facts))
            runtime = read_runc_state(self.runtime, container_id)
        parts += self._sockets(found, view)
        pids = found.pids if runtime is None or runtime.pid is None else (*found.pids, runtime.pid)
        return found._replace(parts=tuple(parts), runtime=runtime, pids=pids)

    def is_own_bundle(self, path: str, container_id: str) -> bool:
        """Whether a path that a runtime has recorded is the bundle of that id here."""
        if os.path.basename(path) != container_id:
            return False
        try:
            with self.roots.open(os.path.dirname(path)) as folder:
                return folder.exists and folder.path == self.state.path
        except StateError:
            return False

    def all_namespaces(self) -> Iterator[Directory]:
        """Every directory of this host in which containerds keep bundles, open (safety.md A10). Raises Unreadable."""
        inner = [layout.inside for layout in LAYOUTS.values() if layout.has_engine]
        host_root, own, others = self._given.host_root, self._given.state, self._given.others
        for state in dict.fromkeys([*([own] if own is not None else []), *others, *STATE_ROOTS]):
            for inside in inner:
                path = f"{state}/{inside}"
                found = state != own and state in others
                with open_reached(host_root, path) if found else self._at(path, state == own) as tasks:
                    for name in _folders(tasks):
                        namespace = tasks.child(name)
                        try:
                            yield namespace.opened()
                        except FileNotFoundError:
                            continue

    def _tombstones(self, container_id: str, view: HostView) -> list[Part]:
        parts = []
        for directory in (self.state, self.work, self.runtime):
            for name in self._listing(directory, view).tombstones.get(container_id, ()):
                facts = look(directory, name)
                if facts is not None:
                    parts.append(Part("tombstone", container_id, directory, name, facts))
        return parts

    def _sockets(self, reading: BundleReading, view: HostView) -> list[Part]:
        """The files of shim sockets that are this container's: by their derived names, and by what its files say."""
        if not self.sockets.exists:
            return []
        there = view.once(("sockets", self.sockets.path), lambda: frozenset(_names(self.sockets)))
        if not there:
            return []
        names = [os.path.basename(path) for path in self.listening_paths(reading) if self._is_in_folder(path)]
        found = [(name, look(self.sockets, name)) for name in dict.fromkeys(names) if name in there]
        return [
            Part("socket", reading.container_id, self.sockets, name, facts)
            for name, facts in found
            if facts is not None
        ]

    def listening_paths(self, reading: BundleReading) -> list[str]:
        """Every socket file on which its shim may listen, as paths of this host."""
        groups = [reading.container_id] if reading.group is None else [reading.group, reading.container_id]
        derived = derived_paths(self.daemon, self.namespace, groups, [SOCKET_FOLDER])
        return list(dict.fromkeys([*self.recorded_paths(reading), *map(self.here, derived)]))

    def recorded_paths(self, reading: BundleReading) -> list[str]:
        """Those of them that its own files tell."""
        return [self.here(address.path) for address in reading.addresses if address.path]

    def here(self, path: str) -> str:
        """A socket's path as it is found from here: below host_root, and without the links on the way to the folder."""
        if is_shim_socket(path, [SOCKET_FOLDER]):
            return self.sockets.join(os.path.basename(path))
        return self._given.host_root.rstrip("/") + path

    def _is_in_folder(self, path: str) -> bool:
        return is_shim_socket(path, [self.sockets.path])


def _work_beside(state: str) -> str | None:
    """The root directory that goes with a state directory; None for one that no engine has by default."""
    for usual, work in ENGINE_ROOTS.items():
        if state.rstrip("/").endswith(usual):
            return state.rstrip("/")[: -len(usual)] + work
    return None


def _has_configuration(host_root: str) -> bool:
    folder, name = os.path.split(CONFIGURATION)
    with open_below(host_root, folder) as directory:
        return directory.exists and look(directory, name) is not None


def _list(directory: Directory, has_engine: bool) -> Listing:
    names = _names(directory) if directory.exists else []
    tombstones: dict[str, list[str]] = {}
    hidden = [name for name in names if name[0] == "."]
    for name in hidden:
        # containerd's own is ".<id>"; an id may itself end as ours do: both are trees to finish (safety.md D2). Where
        # there is no containerd, nobody but us has hidden a bundle, and a name like ".git" says nothing.
        engines = name[1:] if has_engine and is_engines_name(name[1:]) else None
        owners = [parse_tombstone(name, TOMBSTONE_PREFIX), engines]
        for owner in filter(None, owners):
            tombstones.setdefault(owner, []).append(name)
    return Listing(frozenset(names).difference(hidden), tombstones)


def _folders(directory: Directory) -> list[str]:
    """The names of the directories in one: containerd passes over everything else there, links too."""
    found = [(name, look(directory, name)) for name in (_names(directory) if directory.exists else ())]
    return [name for name, facts in found if facts is not None and stat.S_ISDIR(facts.mode)]


def _names(directory: Directory) -> list[str]:
    try:
        return directory.names()
    except OSError as error:
        why = f"it cannot be listed: {os_reason(error)}"
        raise Unreadable(directory.path, why, "Run as root (become: true).") from error
