# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gVisor's runsc: flat state and lock files, before and after release-20210112.0 (gvisor.md)."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InvalidInput,
    StateError,
    Unreadable,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import FILE_NAME_BYTES, NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import (
    TEMPORARY_SUFFIX,
    look,
    read_file,
    temporary_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json, gvisor_processes
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Claim,
    Document,
    DocumentRule,
    Part,
    Reading,
    RecordedProcess,
    RootRule,
    Roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.documents import read_document
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor_belongings import (
    belongings,
    filestores_of_bundles,
    mapping,
)

_NAMES = r"[A-Za-z0-9_+.\-]+"
_LEGACY_NAMES = r"[A-Za-z0-9_+.,\-]+"  # the seed's class [\w+-\.] has a range, which lets a comma in
_SOCKET = re.compile(rf"runsc-(?P<sid>{_NAMES})\.sock", re.A)
_ENGINES = ("/io.containerd.runtime.", "/overlay-containers/")  # bundles of containerd and Docker; of CRI-O and Podman
_STATE, _LOCK = ".state", ".lock"
_REMOVAL = ("filestore", "socket", "temporary", "state", "lock")


class _Runsc(FlatLayout):
    """What both generations share. They differ in the names of files alone."""

    root_rules = (RootRule("run_root", "/var/run/runsc", 0o711),)
    documents = (DocumentRule("state", 0o640),)
    commit_role = "state"

    _FILE: re.Pattern[str]
    _TEMPORARY: re.Pattern[str]

    @abstractmethod
    def stem(self, sandbox_id: str, container_id: str) -> str:
        """The file name of a container without its ending."""

    def __init__(self) -> None:
        self._matches: dict[str, re.Match[str] | None] = {}

    def _match(self, name: str) -> re.Match[str] | None:
        """Which container a file is of. A root is listed again for each batch, with thousands of the same names."""
        if name not in self._matches:
            self._matches[name] = self._TEMPORARY.fullmatch(name) or self._FILE.fullmatch(name)
        return self._matches[name]

    def place(self, roots: Roots, document: str, sandbox_id: str, container_id: str) -> tuple[Directory, str]:
        return roots["run_root"], self.stem(sandbox_id, container_id) + _STATE

    def check_length(self, sandbox_id: str, container_id: str) -> None:
        size = len((self.stem(sandbox_id, container_id) + _STATE).encode("utf-8"))
        if size > FILE_NAME_BYTES:
            why = f"with it a file name would have {size} bytes"
            raise InvalidInput("sandbox_id", why, f"A file name has at most {FILE_NAME_BYTES}.")

    def lock_place(self, roots: Roots, sandbox_id: str, container_id: str, create: bool) -> LockPlace:
        name = self.stem(sandbox_id, container_id) + _LOCK
        return LockPlace(roots["run_root"], name, 0o600 if create else None)

    def containers_in(self, sandbox_id: str, names: list[str]) -> list[str]:
        matches = [match for match in map(self._match, names) if match is not None]
        return sorted({match["cid"] for match in matches}, key=lambda cid: (cid == sandbox_id, cid))

    def read(self, roots: Roots, sandbox_id: str, names: list[str]) -> Reading:
        root = roots["run_root"]
        parts: list[Part] = []
        documents: list[Document] = []
        missing: list[str] = []
        for container_id in self.containers_in(sandbox_id, names):
            stem = self.stem(sandbox_id, container_id)
            found = {role: self._part(root, stem, role, container_id) for role in ("state", "temporary", "lock")}
            state = found["state"]
            document = _read_state(state) if state is not None else None
            if document is not None and not document.readable and look(root, stem + _STATE) is None:
                found["state"] = document = None  # it went away while it was read, and that is known for certain
            parts += [part for part in found.values() if part is not None]
            missing += [stem + ending for role, ending in (("state", _STATE), ("lock", _LOCK)) if found[role] is None]
            if document is not None:
                documents.append(document)
        reading = Reading(sandbox_id, (), tuple(documents), tuple(missing))
        outside = belongings(roots, reading)
        parts += outside.parts
        # The order of removal. The state alone says where filestores are, so they go before it, or a crash in between
        # would lose them; its unlink is the commit point; the lock, which is held, goes last (safety.md D1).
        parts.sort(key=lambda part: _REMOVAL.index(part.role))
        sockets = tuple(part.path for part in parts if part.role == "socket")
        names_inside = tuple(sorted({part.container_id for part in parts}))
        return reading._replace(
            parts=tuple(parts), problems=tuple(outside.problems), sockets=sockets, containers=names_inside
        )

    def _part(self, root: Directory, stem: str, role: str, container_id: str) -> Part | None:
        name = {"state": stem + _STATE, "lock": stem + _LOCK, "temporary": temporary_name(stem + _STATE)}[role]
        if len(name) > FILE_NAME_BYTES:  # ids of runsc can be so long that there is no room for a temporary
            return None
        facts = look(root, name)
        return None if facts is None else Part(role, container_id, root, name, facts)

    def check_document(self, name: str, content: Any, sandbox_id: str, container_id: str) -> None:
        where = f"documents.{name}"
        if not isinstance(content, dict):
            raise InvalidInput(where, f"it is a {type(content).__name__}, not a mapping", "Give the whole document.")
        named = mapping(content, "sandbox").get("id")
        for key, value, wanted in (("id", content.get("id"), container_id), ("sandbox.id", named, sandbox_id)):
            if value is not None and value != wanted:
                raise InvalidInput(where, f"its {key} is '{value}', and it is for '{wanted}'", "Make the two the same.")

    def encode(self, rule: DocumentRule, content: Any, container_id: str) -> bytes:
        return go_json.encode(content, f"documents.{rule.name}")

    def check_place(self, roots: Roots, sandbox_id: str, container_id: str) -> None:
        """Nothing to check where the file name has both names."""

    def recorded_processes(self, reading: Reading) -> list[RecordedProcess]:
        recorded: dict[int, RecordedProcess] = {}
        for document in reading.documents:
            sandbox = mapping(document.content, "sandbox")
            for role, pid in (("sandbox", sandbox.get("pid")), ("gofer", (document.content or {}).get("goferPid"))):
                if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0:
                    recorded.setdefault(pid, RecordedProcess(role, pid, document.container_id))
        return list(recorded.values())

    def _recorded_pids(self, reading: Reading) -> set[int]:
        return {recorded.pid for recorded in self.recorded_processes(reading)}

    def tokens(self, roots: Roots, reading: Reading) -> set[str]:
        # a gofer carries its bundle, and no id
        return gvisor_processes.ids_of(reading) | gvisor_processes.bundles(reading)

    def claim(self, process: Process, pids: tuple[int, ...] | None, roots: Roots, reading: Reading) -> Claim | None:
        return gvisor_processes.claim(process, pids, roots, reading, self._recorded_pids(reading))

    def belongings(self, roots: Roots, claims: list[Claim], reading: Reading) -> list[Part]:
        known = {part.path for part in reading.parts}
        bundles = {gvisor_processes.bundle_of(claim.process) for claim in claims if claim.proved}
        found = filestores_of_bundles(roots, bundles, reading.sandbox_id)
        return [part for part in found if part.path not in known]

    def lock_text(self, sandbox_id: str, container_id: str) -> bytes:
        """Nothing: the lock's own name says of which sandbox it is."""
        return b""

    def hint(self, reading: Reading) -> str:
        if any(document.content for document in reading.documents):
            return ""
        name = f".gvisor.filestore.{reading.sandbox_id}"
        return (
            "No state tells where its root file system is. If a file "
            f"{name} is left there, remove it by hand: a newer runsc does not start while it is there."
        )

    def referrers(self, reading: Reading) -> list[str]:
        return [path for path in sorted(gvisor_processes.bundles(reading)) if any(sign in path for sign in _ENGINES)]


class Gvisor(_Runsc):
    """runsc from release-20210112.0: <cid>_sandbox:<sid>.state and .lock. The container's id comes first."""

    name = "gvisor"
    names = NameRule(_NAMES, "have only letters, digits, '_', '+', '.' and '-'", len("_sandbox:" + _STATE) + 1)
    # anchored, unlike runsc's own pattern (G9)
    _FILE = re.compile(rf"(?P<cid>{_NAMES})_sandbox:(?P<sid>{_NAMES})(?:{_STATE}|{_LOCK})", re.A)
    _TEMPORARY = re.compile(rf"\.(?P<cid>{_NAMES})_sandbox:(?P<sid>{_NAMES}){_STATE}{TEMPORARY_SUFFIX}", re.A)

    def stem(self, sandbox_id: str, container_id: str) -> str:
        return f"{container_id}_sandbox:{sandbox_id}"

    def sandboxes_of(self, roots: Roots) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in _names_in(roots["run_root"]):
            match = self._match(name)
            if match is not None:
                found.setdefault(match["sid"], []).append(name)
                continue
            socket = _SOCKET.fullmatch(name)
            if socket is not None:  # all that is left in the root directory when a duplicate create cleaned up (G1)
                found.setdefault(socket["sid"], [])
        return found


class GvisorLegacy(_Runsc):
    """runsc before release-20210112.0: <cid>.state and .lock; which sandbox it is stands in the state alone."""

    name = "gvisor_legacy"
    names = NameRule(
        _LEGACY_NAMES, "have only letters, digits, '_', '+', ',', '.' and '-'", len(_STATE), has_comma=True
    )
    _FILE = re.compile(rf"(?P<cid>{_LEGACY_NAMES})(?:{_STATE}|{_LOCK})", re.A)
    _TEMPORARY = re.compile(rf"\.(?P<cid>{_LEGACY_NAMES}){_STATE}{TEMPORARY_SUFFIX}", re.A)

    def stem(self, sandbox_id: str, container_id: str) -> str:
        return container_id

    def check_document(self, name: str, content: Any, sandbox_id: str, container_id: str) -> None:
        super().check_document(name, content, sandbox_id, container_id)
        if container_id != sandbox_id and mapping(content, "sandbox").get("id") is None:
            raise InvalidInput(
                f"documents.{name}", "it has no sandbox.id, and nothing else tells which sandbox it is of", "Give it."
            )

    def lock_text(self, sandbox_id: str, container_id: str) -> bytes:
        """Without its state, nothing says of which pod a lock is. So the lock itself does: runsc never reads it."""
        return b"" if container_id == sandbox_id else f"{sandbox_id}\n".encode()

    def check_place(self, roots: Roots, sandbox_id: str, container_id: str) -> None:
        """File names do not tell sandboxes apart here, so a state in our place may be somebody else's."""
        root, name = self.place(roots, "state", sandbox_id, container_id)
        if not root.exists or look(root, name) is None:
            return
        recorded = _recorded_sandbox(root, container_id) or container_id
        if recorded != sandbox_id:
            raise InvalidInput("", f"{root.join(name)} is of sandbox '{recorded}'", "Give the sandbox that it is of.")

    def tokens(self, roots: Roots, reading: Reading) -> set[str]:
        """Whose container a damaged state describes is not known, so every sandbox of its root may be the owner."""
        return super().tokens(roots, reading) | ({"runsc-sandbox"} if _damaged(reading) else set())

    def claim(self, process: Process, pids: tuple[int, ...] | None, roots: Roots, reading: Reading) -> Claim | None:
        return gvisor_processes.claim(
            process, pids, roots, reading, self._recorded_pids(reading), anybodys=_damaged(reading)
        )

    def sandboxes_of(self, roots: Roots) -> dict[str, list[str]]:
        root = roots["run_root"]
        by_container: dict[str, list[str]] = {}
        for name in _names_in(root):
            match = self._match(name)
            if match is not None:
                by_container.setdefault(match["cid"], []).append(name)
        found: dict[str, list[str]] = {}
        for container_id, names in by_container.items():
            found.setdefault(_recorded_sandbox(root, container_id) or container_id, []).extend(names)
        return found


def _damaged(reading: Reading) -> bool:
    return any(not mapping(document.content, "sandbox").get("id") for document in reading.documents)


def _recorded_sandbox(root: Directory, container_id: str) -> str | None:
    """The sandbox that a legacy state names, or its lock when the state is gone (lock_text).

    None where nothing can be read: one bad file stops nobody (gvisor#5052).
    """
    try:
        data = read_file(root, container_id + _STATE)
        if data is None:
            marked = (read_file(root, container_id + _LOCK) or b"").decode("utf-8", "replace")
            return marked[:-1] if re.fullmatch(f"{_LEGACY_NAMES}\n", marked, re.A) else None
        content = go_json.decode(data, container_id)
    except Unreadable:
        return None
    # runsc writes null for the sandbox of a stopped container; a pod's annotation still names it
    annotations = mapping(mapping(content, "spec"), "annotations")
    sandbox_id = mapping(content, "sandbox").get("id") or annotations.get("io.kubernetes.cri.sandbox-id")
    return sandbox_id if isinstance(sandbox_id, str) and re.fullmatch(_LEGACY_NAMES, sandbox_id, re.A) else None


def is_recorded(root: str, process: Process) -> bool:
    """Whether the state of its sandbox in that directory, which has no link in its path, records this very process.

    So a directory that only a process names, which any container can start, is no root directory of runsc's.
    """
    sandbox_id = process.argv[-1] if process.argv else ""
    if not sandbox_id or "/" in sandbox_id:
        return False
    try:
        with open_below("/", root) as directory:
            names = [f"{sandbox_id}_sandbox:{sandbox_id}{_STATE}", f"{sandbox_id}{_STATE}"]
            states = [read_file(directory, name) for name in names] if directory.exists else []
        contents = [go_json.decode(state, root) for state in states if state]
    except StateError:
        return False
    return any(mapping(content, "sandbox").get("pid") == process.pid for content in contents)


def _names_in(root: Directory) -> list[str]:
    try:
        return root.names()
    except OSError as error:
        raise Unreadable(
            root.path, f"it cannot be listed: {os_reason(error)}", "Run as root (become: true)."
        ) from error


def _read_state(part: Part) -> Document:
    return read_document("state", part.directory, part.name, part.container_id, part.facts)
