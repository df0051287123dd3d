# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import Hierarchy
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_cgroups import find_cgroups
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import judge
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

ID = "hostunit-cgroup-1"
# What may lie in a hierarchy, and the id of whose it would be; None: it is nobody's that we know (safety.md D7).
PLACES = {
    f"kata_overhead/{ID}": ID,
    f"system.slice:docker:{ID}": ID,
    f"kubepods-besteffort.slice:cri-containerd:{ID}": None,
    f"kubepods/{ID}": None,
    f"machine.slice/{ID}": None,
    f"a:b:c:{ID}": None,
    f"docker/{ID}": None,
    ID: None,
}


def view_of(mount: Path) -> HostView:
    view = HostView("/", True)
    view.once("hierarchies", lambda: [Hierarchy(("pids",), str(mount))])
    return view


@pytest.mark.parametrize("place", PLACES)
def test_D7_only_what_kata_made_for_one_sandbox_is_found(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / "cgroup.procs").touch()
    found = [(one.path, one.name) for one in find_cgroups(view_of(tmp_path))]
    assert found == ([(f"{tmp_path}/{place}", PLACES[place])] if PLACES[place] else [])


@pytest.mark.parametrize("inside", ["", "vcpu"], ids=["in it", "below it"])
@pytest.mark.parametrize(("pids", "verdict"), [("", "leftover"), ("4711\n", "live")])
def test_D7_CG1_one_with_a_process_is_live(tmp_path: Path, inside: str, pids: str, verdict: str) -> None:
    for folder in ("kata_overhead", f"kata_overhead/{ID}", f"kata_overhead/{ID}/vcpu"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cgroup.procs").touch()
    (tmp_path / "kata_overhead" / ID / inside / "cgroup.procs").write_text(pids, encoding="ascii")
    view = view_of(tmp_path)
    (candidate,) = find_cgroups(view)
    assert candidate.read(view)
    assert judge(candidate.evidence(view)).kind == verdict


def test_A1_one_whose_processes_cannot_be_read_is_not_taken_for_empty(tmp_path: Path) -> None:
    (tmp_path / "kata_overhead" / ID / "cgroup.procs").mkdir(parents=True)
    view = view_of(tmp_path)
    (candidate,) = find_cgroups(view)
    assert candidate.read(view)
    with pytest.raises(Unreadable):
        candidate.evidence(view)


def test_F2_a_cgroup_whose_time_the_kernel_has_forgotten_is_still_that_of_a_plan(tmp_path: Path) -> None:
    """Of a cgroup of which nothing is in memory the kernel says that it was changed when it is looked at."""
    folder = tmp_path / "kata_overhead" / ID
    folder.mkdir(parents=True)
    view = view_of(tmp_path)
    (candidate,) = find_cgroups(view)
    assert candidate.read(view)
    planned, changed = candidate.identity, candidate.changed
    time.sleep(0.02)
    folder.chmod(0o700)
    assert candidate.read(view) and candidate.changed != changed and candidate.was(planned)
    folder.rename(tmp_path / "kept")
    folder.mkdir()
    assert candidate.read(view) and not candidate.was(planned)
