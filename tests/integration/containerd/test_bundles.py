# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""container_bundle against real containerds that were broken as crashes break them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.containerd import BUNDLES, NAMESPACE, RUNTIMES, WORK, Lab

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["1.7"], indirect=True)
each_runtime = pytest.mark.parametrize("runtime", list(RUNTIMES))


def digest_of(folder: Path) -> str:
    """A checksum of the files below a folder."""
    text = [f"{path.name} {path.read_bytes()!r}" for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()


@each_runtime
def test_a_running_container_is_live_and_refused(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    entry = lab.look("a5", runtime)
    assert entry["verdict"] == "live"
    assert "serves it" in entry["evidence"][0]
    refused = lab.free("a5", runtime, force=True, on_mounted="unmount")
    assert refused.failed
    assert "is in use: containerd-shim" in refused.message
    assert lab.tasks() == {"a5": "RUNNING"}
    assert lab.delete("a5").code == 0


@each_runtime
def test_A4_after_a_crash_of_all_it_is_unknown_and_once_forced_containerd_runs_the_id_again(
    lab: Lab, runtime: str
) -> None:
    lab.run("a5", runtime=runtime)
    lab.kill_all()
    kept = lab.free("a5", runtime, on_mounted="unmount")
    assert kept.failed
    assert "containerd, which needs the bundle to clean up, does not run" in kept.message
    assert "containerd lists the container" in kept.message
    mounted = lab.free("a5", runtime, force=True)
    assert mounted.failed
    assert "overlay on" in mounted.message
    assert lab.bundles(runtime) == ["a5"]
    done = lab.free("a5", runtime, force=True, on_mounted="unmount")
    assert not done.failed, done.message
    assert done.answer["bundles"][0]["action"] == "deleted"
    assert lab.bundles(runtime) == []
    assert lab.sockets() == []
    assert not any("/a5/rootfs" in point for point in lab.host.mounts())
    again = lab.free("a5", runtime, force=True, on_mounted="unmount")
    assert (again.failed, again.changed) == (False, False)
    lab.start()
    lab.must("containers", "delete", "a5")
    lab.run("a5", runtime=runtime)
    assert lab.tasks() == {"a5": "RUNNING"}


def test_A6_three_containers_of_a_pod_are_live_by_the_one_shim(lab: Lab) -> None:
    lab.run_pod("lab-pod-1", "c-1", "c-2")
    for name in ("lab-pod-1", "c-1", "c-2"):
        entry = lab.look(name)
        assert entry["verdict"] == "live", entry
        assert entry["sandbox_id"] == "lab-pod-1"
        refused = lab.free(name, force=True, on_mounted="unmount", stop_processes=True)
        assert refused.failed
    assert lab.tasks() == dict.fromkeys(("lab-pod-1", "c-1", "c-2"), "RUNNING")


def test_A4_a_stopped_daemon_with_living_shims_keeps_all(lab: Lab) -> None:
    lab.run("a5")
    lab.kill_daemon()
    refused = lab.free("a5", force=True, on_mounted="unmount")
    assert refused.failed
    assert "serves it" in refused.message
    lab.start()
    assert lab.tasks() == {"a5": "RUNNING"}


@newest
def test_a_pods_socket_goes_with_the_last_of_its_containers(lab: Lab) -> None:
    lab.run_pod("lab-pod-1", "c-1")
    lab.kill_all()
    first = lab.free("lab-pod-1", force=True, on_mounted="unmount")
    assert not first.failed, first.message
    assert len(lab.sockets()) == 1
    last = lab.free("c-1", force=True, on_mounted="unmount")
    assert not last.failed, last.message
    assert lab.sockets() == []


@each_runtime
def test_C4_a_delete_that_was_killed_inside_containerd_is_finished(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    lab.interrupt_delete("a5", runtime)
    assert lab.bundles(runtime) == [".a5"]
    done = lab.free("a5", runtime, force=True, on_mounted="unmount")
    assert not done.failed, done.message
    assert lab.bundles(runtime) == []
    lab.start()
    lab.ctr("containers", "delete", "a5")
    lab.run("a5", runtime=runtime)
    deleted = lab.delete("a5")
    assert deleted.code == 0, deleted.output


@newest
def test_D2_a_hidden_name_of_containerd_that_is_young_stays_while_it_runs(lab: Lab) -> None:
    """It may be at work on it right now."""
    lab.start()
    lab.run("lab-live-1")
    lab.host.must(["mkdir", "-p", f"{BUNDLES['v2']}/{NAMESPACE}/.a5/rootfs"])
    kept = lab.free("a5")
    assert kept.unchanged and ".a5" in lab.bundles(), kept.answer
    done = lab.free("a5", force=True)
    assert not done.failed and done.changed and lab.bundles() == ["lab-live-1"], done.answer


@newest
def test_C8_a_restart_that_sweeps_the_work_tree_finds_nothing_of_ours_that_is_needed(lab: Lab) -> None:
    """A killed run leaves a tree there that is to be deleted; containerd deletes it as well, and all goes on."""
    lab.run("a5")
    lab.kill_all()
    work = f"{WORK['v2']}/{NAMESPACE}"
    lab.host.must(["mkdir", "-p", f"{work}/.c-1.0123456789abcdef/rest"])
    lab.start()
    assert lab.host.must(["ls", "-A", work]).split() == []
    nothing = lab.free("c-1")
    assert nothing.unchanged, nothing.answer
    done = lab.free("a5", force=True, on_mounted="unmount")
    assert not done.failed, done.message
    lab.ctr("containers", "delete", "a5")
    lab.run("a5")
    assert lab.host.must(["ls", "-A", work]).split() == ["a5"]
    assert lab.delete("a5").code == 0


@newest
@each_runtime
def test_R4_C1_data_of_the_host_that_is_mounted_in_the_container_survives_every_path(lab: Lab, runtime: str) -> None:
    data = lab.workspace.folder / "data"
    data.mkdir()
    (data / "precious").write_text("keep me")
    before = digest_of(data)
    option = f"type=bind,src={data},dst=/mnt,options=rbind:rw"
    lab.run("a5", runtime=runtime, options=["--mount", option])
    lab.kill_all()
    inner = f"{lab.host_bundle('a5', runtime)}/rootfs/data"
    lab.host.must(["mkdir", inner])
    lab.host.must(["mount", "--bind", str(data), inner])
    refused = lab.free("a5", runtime, force=True)
    assert refused.failed
    assert "bind of" in refused.message
    assert digest_of(data) == before
    done = lab.free("a5", runtime, force=True, on_mounted="unmount")
    assert not done.failed, done.message
    assert digest_of(data) == before
    assert lab.bundles(runtime) == []


@newest
def test_D7_cgroups_of_the_dead_container_go_when_asked(lab: Lab) -> None:
    lab.run("a5")
    lab.kill_all()
    there = lab.look("a5")["cgroups"]
    assert there
    done = lab.free("a5", force=True, on_mounted="unmount", cgroups=True)
    assert not done.failed, done.message
    assert not [path for path in there if os.path.exists(f"/proc/{lab.host.init}/root{path}")]


@newest
def test_cgroups_are_made_as_the_spec_asks_and_go_with_the_bundle(lab: Lab) -> None:
    linux = {"cgroupsPath": "/lab-made/lab-b1", "resources": {"memory": {"limit": 1 << 20}, "pids": {"limit": 9}}}
    spec = {
        "ociVersion": "1.0.2",
        "process": {"args": ["/bin/true"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "linux": linux,
    }
    options = {"layout": "containerd_v2", "container_id": "lab-b1", "cgroups": True}
    made = lab.module("container_bundle", **options, spec=spec)
    assert not made.failed, made.message
    places = [lab.host.path(f"/sys/fs/cgroup/{name}/lab-made/lab-b1") for name in ("memory", "pids")]
    assert [path.is_dir() for path in places] == [True, True]
    assert not lab.host.path("/sys/fs/cgroup/blkio/lab-made").exists()
    assert not lab.module("container_bundle", **options, spec=spec).changed
    gone = lab.module("container_bundle", **options, state="absent", force=True)
    assert not gone.failed, gone.message
    assert [path.exists() for path in places] == [False, False]


@newest
def test_stop_processes_ends_an_orphan_whose_shim_and_daemon_are_dead(lab: Lab) -> None:
    lab.run("a5")
    lab.kill_daemon()
    refused = lab.free("a5", on_mounted="unmount", force=True)
    assert refused.failed
    done = lab.free("a5", on_mounted="unmount", force=True, stop_processes=True)
    assert not done.failed, done.message
    assert lab.host.pids() == []
    assert lab.bundles() == []
    assert not processes.naming("a5")


@newest
def test_a_container_is_freed_where_run_is_full_and_runs_again_when_there_is_room(lab: Lab) -> None:
    lab.run("a5")
    lab.kill_all()
    lab.host.must(["mount", "-o", "remount,size=2m", "/run"])
    lab.host.must(["sh", "-c", "cat /dev/zero >/run/ballast 2>/dev/null || true"])
    spec = {"ociVersion": "1.0.2", "process": {"args": ["/bin/true"], "cwd": "/"}, "root": {"path": "rootfs"}}
    new = {"layout": "containerd_v2", "container_id": "lab-new", "force": True}
    refused = lab.module("container_bundle", **new, spec=spec)
    assert refused.failed and not refused.changed
    assert "No space left on device" in refused.message
    assert lab.bundles() == ["a5"] and not lab.host.path(f"{WORK['v2']}/{NAMESPACE}/lab-new").exists()
    done = lab.free("a5", force=True, on_mounted="unmount")
    assert not done.failed, done.message
    assert (lab.bundles(), lab.sockets()) == ([], [])
    lab.host.must(["rm", "/run/ballast"])
    lab.start()
    lab.must("containers", "delete", "a5")
    lab.run("a5")
    assert lab.tasks() == {"a5": "RUNNING"}
