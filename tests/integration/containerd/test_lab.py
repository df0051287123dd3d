# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the other tests rely on: containers run, crashes leave what they should leave, and nothing outlives the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.lab import cgroups, processes
from ansible_collections.sandboxed.containers.tests.lab.containerd import ROOT, RUNTIMES, STATE, Lab

pytestmark = [pytest.mark.real, pytest.mark.long]  # the lab is for modules that are to come
newest = pytest.mark.parametrize("version", ["1.7"], indirect=True)


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_a_container_lives_and_is_deleted(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    assert lab.tasks() == {"a5": "RUNNING"}
    assert lab.containers() == ["a5"]
    assert lab.bundles(runtime) == ["a5"]
    assert list(lab.shims(runtime)) == ["a5"]
    assert any(point.endswith("/default/a5/rootfs") for point in lab.host.mounts())
    deleted = lab.delete("a5")
    assert deleted.code == 0, deleted.output
    assert lab.bundles(runtime) == []
    assert lab.containers() == []


def test_three_containers_of_a_pod_have_one_shim(lab: Lab) -> None:
    lab.run_pod("lab-pod-1", "c-1", "c-2")
    assert lab.tasks() == dict.fromkeys(("lab-pod-1", "c-1", "c-2"), "RUNNING")
    assert list(lab.shims()) == ["lab-pod-1"]
    assert len(lab.sockets()) == 1


@newest
def test_gvisor_runs_in_the_place_of_runc(lab: Lab) -> None:
    lab.run_gvisor("g-1")
    assert lab.tasks() == {"g-1": "RUNNING"}
    assert lab.host.pids("runsc-sandbox")
    states = lab.host.path(f"{STATE}/runc/default").iterdir()
    assert "g-1_sandbox:g-1.state" in [path.name for path in states]


def test_a_killed_shim_leaves_its_socket_and_nothing_else(lab: Lab) -> None:
    lab.run("a5")
    names = lab.sockets()
    lab.kill_shim("a5")
    processes.wait_until(lambda: lab.bundles() == [], "containerd to clean up", 30)
    assert lab.sockets() == names


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_A4_shims_outlive_the_daemon(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    lab.kill_daemon()
    assert lab.daemon() == 0
    shims = lab.shims(runtime)
    assert list(shims) == ["a5"]
    lab.start()
    assert lab.tasks() == {"a5": "RUNNING"}
    assert lab.shims(runtime) == shims


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_killing_all_leaves_bundle_mount_and_socket(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    lab.kill_all()
    assert lab.host.pids() == []
    assert lab.bundles(runtime) == ["a5"]
    assert any(point.endswith("/default/a5/rootfs") for point in lab.host.mounts())
    assert len(lab.sockets()) == 1


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_C4_an_interrupted_delete_leaves_a_tombstone_that_blocks_the_id(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    lab.interrupt_delete("a5", runtime)
    assert lab.bundles(runtime) == [".a5"]
    assert "config.json" in os.listdir(lab.bundle(".a5", runtime))
    lab.start()
    assert lab.bundles(runtime) == [".a5"]


@newest
def test_the_inner_host_has_its_own_places(lab: Lab) -> None:
    assert not Path(f"{ROOT}/io.containerd.metadata.v1.bolt").exists()
    assert lab.host.path(f"{ROOT}/io.containerd.metadata.v1.bolt/meta.db").exists()
    lab.run("a5")
    inside = [path.name for path in lab.host.path("/sys/fs/cgroup/pids/default").iterdir() if path.is_dir()]
    assert inside == ["a5"]
    assert not (cgroups.ROOT / "pids/default").exists()


@newest
def test_nothing_outlives_the_lab_although_the_test_failed(version: str) -> None:
    lab = Lab(version)
    folder = lab.workspace.folder
    made = cgroups.folders(folder.name)
    own = []

    def work() -> None:
        with lab:
            lab.start()
            lab.run("a5")
            own.extend([lab.host.init, *lab.host.pids()])
            assert made
            assert all(path.exists() for path in made)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not folder.exists()
    assert not any(processes.lives(pid) for pid in own)
    assert not any(path.exists() for path in made)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


LEAVE = """
import sys, time
from ansible_collections.sandboxed.containers.tests.lab.containerd import Lab
lab = Lab(sys.argv[1])
lab.start()
lab.run("a5")
print(lab.workspace.folder, lab.host.init, *lab.host.pids(), flush=True)
time.sleep(600)
"""


@newest
def test_what_a_killed_test_run_left_is_swept_by_the_next(version: str) -> None:
    with subprocess.Popen([sys.executable, "-c", LEAVE, version], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        folder, *numbers = child.stdout.readline().split()
        # Not afterwards: another test that runs beside this one may be the next, and sweep at once.
        assert all(processes.lives(int(number)) for number in numbers)
        child.kill()
    with Lab(version):
        assert not Path(folder).exists()
        # The kernel ends most of them with the run itself; one on its way out has neither arguments nor a cgroup.
        processes.wait_until(lambda: not any(map(processes.lives, map(int, numbers))), "its processes to end", 10)
        assert not any(path.exists() for path in cgroups.folders(Path(folder).name))
