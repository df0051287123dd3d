# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases of container_id_mapping, and what must hold for Kata, which reads the same directories (M1, M2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.faults.harness import Case
from ansible_collections.sandboxed.containers.tests.faults.rules import Invariant, Observed
from ansible_collections.sandboxed.containers.tests.faults.running import Task
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT

LAYOUTS = ("mapping",)
_ROOT = "run/kata-containers/containers-mapping"


def add(root: Path, container_id: str, *sandboxes: str) -> None:
    """A mapping as Kata makes it."""
    folder = root / _ROOT / container_id
    for path in (folder, *(folder / name for name in sandboxes)):
        path.mkdir(parents=True)
        path.chmod(0o750)


def nothing(_root: Path) -> None:
    """There is no mapping of it."""


def one(root: Path) -> None:
    add(root, "fault-1", "pod-1")


def none(root: Path) -> None:
    """M1: a crash between the two directories."""
    add(root, "fault-1")


def several(root: Path) -> None:
    add(root, "fault-1", "pod-1", "pod-2", "pod-3")


def rest(root: Path) -> None:
    """What a killed run of ours left."""
    (root / "run/kata-containers/.sbx-del.fault-1.0123456789abcdef" / "pod-1").mkdir(parents=True)


def three(root: Path) -> None:
    for number in (1, 2, 3):
        add(root, f"fault-{number}", "pod-1")


class Row(NamedTuple):
    """One case."""

    name: str
    state: str
    start: Callable[[Path], None]
    options: Mapping[str, Any]


_ONE = {"container_id": "fault-1"}
_THREE = ["fault-1", "fault-2", "fault-3"]
_ROWS = (
    Row("create", "present", nothing, {**_ONE, "sandbox_id": "pod-1"}),
    Row("create after a crash", "present", rest, {**_ONE, "sandbox_id": "pod-1"}),
    Row("completion", "present", none, {**_ONE, "sandbox_id": "pod-1"}),
    Row("move", "present", one, {**_ONE, "sandbox_id": "pod-2", "remap": True}),
    Row("choice", "present", several, {**_ONE, "sandbox_id": "pod-2", "remap": True}),
    Row("create three", "present", nothing, {"mappings": [{"container_id": c, "sandbox_id": "pod-1"} for c in _THREE]}),
    Row("delete", "absent", one, _ONE),
    Row("delete of none", "absent", none, _ONE),
    Row("delete of a rest", "absent", rest, _ONE),
    Row("delete of three", "absent", three, {"container_id": _THREE}),
)
_QUIET_ROWS = (
    Row("nothing to delete", "absent", nothing, _ONE),
    Row("nothing to write", "present", one, {**_ONE, "sandbox_id": "pod-1"}),
    Row("refused for another sandbox", "present", one, {**_ONE, "sandbox_id": "pod-2"}),
    Row("refused for several", "present", several, {**_ONE, "sandbox_id": "pod-2"}),
)


def _a_container_leads_somewhere_or_is_gone(seen: Observed) -> None:
    """Where there was a sandbox, or is to be one, nobody ever finds a mapping to none."""
    for path in seen.after:
        if not path.startswith(f"{_ROOT}/") or path.count("/") != _ROOT.count("/") + 1:
            continue
        led = [name for tree in (seen.before,) for name in tree if name.startswith(f"{path}/")]
        leads = [name for name in seen.after if name.startswith(f"{path}/")]
        assert leads or (path in seen.before and not led), f"{path} leads to none"


INVARIANTS: dict[str, Invariant] = {"a container leads somewhere or is gone": _a_container_leads_somewhere_or_is_gone}


def _case(row: Row) -> Case:
    def prepare(root: Path) -> None:
        add(root, "fault-10", "pod-10")
        (root / "run/kata-containers/.other").mkdir()
        (root / "var").mkdir()
        (root / "var/run").symlink_to("/run")
        row.start(root)

    task = Task("container_id_mapping", {**_COMMON, "state": row.state, **row.options})
    return Case(f"mapping {row.name}", task, prepare, INVARIANTS, Task("container_id_mapping_info", _COMMON))


_COMMON = {"host_root": ROOT, "sees_all_processes": True}


def cases(_layout: str) -> Iterator[Case]:
    """All cases."""
    yield from map(_case, _ROWS)


def quiet_cases(_layout: str) -> Iterator[Case]:
    """Where nothing is to be done, or something is refused."""
    yield from map(_case, _QUIET_ROWS)
