# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's tree with sandboxes in it, and things above, beside and below its roots that nobody may touch."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.faults import gvisor, kata, snapshot
from ansible_collections.sandboxed.containers.tests.faults.kata_rules import TREES
from ansible_collections.sandboxed.containers.tests.lab import forked, kata_documents, trees
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis.strategies import SearchStrategy

LAYOUTS = ("gvisor", *kata.LAYOUTS)
TOP = Path("/run/lab/ground")
HOST = TOP / "deep/er/host"  # so deep that a name with a few ".." still leads to something that is compared
CANARY = TOP / "canary"
NEIGHBOUR = "fault-10"


class Compared(ABC):
    """The directory TOP, which is compared as a whole. layout: of the objects that are in there."""

    def __init__(self, layout: str) -> None:
        self.layout = layout
        self.seen: snapshot.Tree = {}

    @abstractmethod
    def build(self) -> None:
        """Make all of it anew."""

    def touched(self) -> set[str]:
        """The paths below TOP that are no longer what they were at the last look."""
        before, self.seen = self.seen, snapshot.take(TOP)
        return {path for path in before.keys() | self.seen.keys() if before.get(path) != self.seen.get(path)}


class Ground(Compared):
    """Sandboxes. roots: the directories that have them."""

    def __init__(self, layout: str) -> None:
        super().__init__(layout)
        tops = ["run"] if layout == "gvisor" else TREES[layout].values()
        self.roots = [HOST / top for top in tops]

    def build(self) -> None:
        shutil.rmtree(TOP, ignore_errors=True)
        HOST.mkdir(parents=True)
        host = gvisor.Host(HOST, self.layout) if self.layout == "gvisor" else kata.Host(HOST, self.layout)
        host.bystanders()
        for folder in (TOP, HOST.parent, HOST, *(root.parent for root in self.roots)):
            trees.put_data(folder / "canary")
        for root in self.roots:
            (root / "way-out").symlink_to(CANARY)
            (root / "way-out_sandbox:way-out.state").symlink_to(CANARY / "file")
            inside = root if self.layout == "gvisor" else root / NEIGHBOUR
            (inside / "link").symlink_to(CANARY)
        self.seen = snapshot.take(TOP)

    def run(self, module: str, sees_all: bool | None = True, **options: Any) -> Result:
        """A module's answer. Raises RuntimeError for a traceback."""
        place = {"run_root": str(HOST / "run")} if self.layout == "gvisor" else {"host_root": str(HOST)}
        return forked.forked(module, layout=self.layout, sees_all_processes=sees_all, **place, **options)

    def foreign(self, paths: set[str], names: set[str]) -> set[str]:
        """Those of the paths that are not of a sandbox with one of the names."""
        return {path for path in paths if not any(self._is_of(TOP / path, name) for name in names)}

    def _is_of(self, path: Path, name: str) -> bool:
        if self.layout == "gvisor":
            files = rf"\.?[^/]+_sandbox:{re.escape(name)}\.(state|lock)|runsc-{re.escape(name)}\.sock"
            filestore = HOST / "bundles" / name / "rootfs" / f".gvisor.filestore.{name}"
            return path == filestore or (path.parent in self.roots and bool(re.fullmatch(files, path.name)))
        tombstone = re.compile(rf"\.sbx-del\.{re.escape(name)}\.[0-9a-f]{{16}}")  # of a delete that was killed
        return any(
            one == root / name or (one.parent == root.parent and tombstone.fullmatch(one.name))
            for one in (path, *path.parents)
            for root in self.roots
            if name
        )

    def documents(self, sandbox_id: str) -> dict[str, Any]:
        """What is needed to make a sandbox, with all the keys that its runtime writes."""
        facts = Facts()
        if self.layout == "gvisor":
            return {"state": gvisor.document(HOST, sandbox_id)}
        if self.layout == "kata_store":
            return {**kata_documents.store_sandbox(sandbox_id, facts, "/run/vc"), "devices": []}
        if self.layout == "kata_persist":
            return {"persist": kata_documents.persist_sandbox(sandbox_id, facts, "/run/vc")}
        return {"state": kata_documents.rs_sandbox(sandbox_id, facts, "/run/kata")}

    def file(self, document: str, sandbox_id: str) -> Path:
        """Where a document of a sandbox is."""
        if self.layout == "gvisor":
            return self.roots[0] / f"{sandbox_id}_sandbox:{sandbox_id}.state"
        return self.roots[0 if document == "config" else -1] / sandbox_id / f"{document}.json"


def explore(check: Callable[..., None], examples: int, **strategies: SearchStrategy[Any]) -> None:
    """Call a function with that many examples, always the same ones. Raises what it raises, for the smallest."""
    configuration.set_hypothesis_home_dir("/run/lab/hypothesis")  # what it keeps goes with the host
    limits = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    limits(given(**strategies)(check))()
