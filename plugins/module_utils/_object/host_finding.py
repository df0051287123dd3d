# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is on a host, by names alone. Most hosts have nothing of most kinds, whose code is then not loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import engine_roots, runsc_roots

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

KATA = ("kata_store", "kata_persist", "kata_rs")  # the layouts of sandboxes to which mappings may lead
# Where all of a kind lies, as directories above it: without them there is nothing.
SANDBOXES = ("/run/vc", "/var/lib/vc", "/run/kata", "/run/kata-containers", "/var/run/runsc")
MAPPINGS = "/var/run/kata-containers/containers-mapping"
PASSWD, USERS = "/etc/passwd", b"\nkata-"
DAEMONS = "/run/sandboxed.containers/virtiofsd"
SOCKETS = "/run/containerd/s"


def find_all(host_root: str, view: HostView, problems: list[str]) -> list[Candidate]:
    """Everything that has files. problems: gets what cannot be listed."""
    found: list[Candidate] = []
    beside: set[str] = set()
    finders = (
        _sandboxes(host_root, view, problems),
        _bundles(host_root, view, problems),
        _mappings(host_root, beside),
        _rootless(host_root),
        _daemons(host_root),
        _sockets(host_root, view),
        _cgroups(host_root, view),
    )
    for finder in finders:
        try:
            for one in finder:
                found.append(one)
                if one.layout in KATA:
                    beside.add(one.name)
        except StateError as error:
            problems.append(str(error))
    problems[:] = dict.fromkeys(problems)
    return found


def _is_any(host_root: str, paths: Collection[str]) -> bool:
    """Whether one of these directories is there, or may be."""
    return any(_may_be(host_root, path) for path in paths)


def _may_be(host_root: str, path: str, filled: bool = False) -> bool:
    """filled: only where there is something in it. What is hidden while it is removed may lie above it."""
    try:
        with open_below(host_root, path) as directory:
            return directory.exists and (not filled or bool(directory.listed()))
    except StateError:
        return True  # who looks for what is in it says why


def _sandboxes(host_root: str, view: HostView, problems: list[str]) -> Iterator[Candidate]:
    if _is_any(host_root, SANDBOXES) or runsc_roots(host_root, view):
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_sandboxes

        yield from host_sandboxes.find(host_root, view, problems)


def _bundles(host_root: str, view: HostView, problems: list[str]) -> Iterator[Candidate]:
    roots = engine_roots(host_root, view)
    if roots:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_bundles

        yield from host_bundles.find(host_root, roots, view, problems)


def _mappings(host_root: str, beside: Collection[str]) -> Iterator[Candidate]:
    if _may_be(host_root, MAPPINGS):
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_mappings

        yield from host_mappings.find_mappings(host_root, beside)


def _rootless(host_root: str) -> Iterator[Candidate]:
    if USERS in b"\n" + _content(host_root, PASSWD):
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_rootless

        yield from host_rootless.find(host_root)


def _content(host_root: str, path: str) -> bytes:
    folder, _slash, name = path.rpartition("/")
    with open_below(host_root, folder) as directory:
        return (read_file(directory, name) or b"") if directory.exists else b""


def _daemons(host_root: str) -> Iterator[Candidate]:
    if _may_be(host_root, DAEMONS, filled=True):
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_daemons

        yield from host_daemons.find_daemons(host_root)


def _sockets(host_root: str, view: HostView) -> Iterator[Candidate]:
    if _may_be(host_root, SOCKETS, filled=True):
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_bundles

        yield from host_bundles.find_sockets(host_root, engine_roots(host_root, view), view)


def _cgroups(host_root: str, view: HostView) -> Iterator[Candidate]:
    """Those of this host: cgroups are no part of a tree that lies elsewhere."""
    if host_root == "/":
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_cgroups

        yield from host_cgroups.find_cgroups(view)
