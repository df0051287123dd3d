# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pod as an engine makes it: one sandbox, its own container, and two members."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import Collection, files, filestores
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["new"], indirect=True)


def state_files(runsc: Runsc) -> list[str]:
    return [name.partition("_")[0] for name in files(runsc) if name.endswith(".state")]


def test_one_container_then_the_pod(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    lab.pod(runsc, "pod1", "ctr1", "ctr2")
    pid = runsc.sandbox_pid("pod1")
    assert len(runsc.pids()) == 4  # one sandbox, and a gofer for each container
    for options in ({}, {"container_id": "ctr1"}, {"container_id": "pod1"}):
        refused = collection.absent("pod1", **options)
        assert f"runsc-sandbox (pid {pid}," in refused.message
    (pod,) = collection.info().sandboxes
    assert sorted(one["container_id"] for one in pod["containers"]) == ["ctr1", "ctr2", "pod1"]
    runsc.crash()

    had_filestores = filestores(lab)
    removed = collection.absent("pod1", container_id="ctr1")
    assert not removed.failed, removed.message
    assert state_files(runsc) == ["ctr2", "pod1"]
    assert not runsc.file("ctr1", "lock", "pod1").exists()
    assert filestores(lab) == [name for name in had_filestores if name != "ctr1"]
    assert collection.absent("pod1", container_id="ctr1").unchanged

    assert collection.absent("pod1").changed
    assert files(runsc) == []
    assert filestores(lab) == []
    assert runsc.launch("pod1", lab.folder / "pod1")


def test_a_member_without_its_pod(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """runsc delete of the first container leaves the others without one (gvisor.md, partial state)."""
    lab.pod(runsc, "pod1", "ctr1", "ctr2")
    assert runsc.delete("pod1", force=True).code == 0
    processes.wait_until(lambda: not runsc.pids(), "the pod to end")
    assert state_files(runsc) == ["ctr1", "ctr2"]
    (pod,) = collection.info().sandboxes
    assert pod["sandbox_id"] == "pod1"
    assert pod["verdict"] == "leftover"
    removed = collection.absent("pod1")
    assert not removed.failed, removed.message
    assert files(runsc) == []
    assert filestores(lab) == []


@newest
def test_the_whole_pod_is_stopped_on_request(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    lab.pod(runsc, "pod1", "ctr1", "ctr2")
    runsc.launch("other", lab.bundle("other"))
    removed = collection.absent("pod1", stop_processes=True)
    assert not removed.failed, removed.message
    assert len(runsc.pids()) == 2
    assert runsc.listed() == ["other"]
    assert filestores(lab) == ["other"]
