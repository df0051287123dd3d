# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SPEC: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "process": {"args": ["/bin/true"], "cwd": "/", "env": ["TOKEN=hidden-value"]},
    "root": {"path": "rootfs"},
}


class Site:
    """A containerd's directories, of which no process can know."""

    def __init__(self, folder: Path, layout: str = "containerd_v2") -> None:
        inside = "io.containerd.runtime.v2.task" if layout == "containerd_v2" else "io.containerd.runtime.v1.linux"
        self.layout = layout
        self.state_root, self.work_root = folder / "state", folder / "work"
        self.state, self.work = self.state_root / inside / "default", self.work_root / inside / "default"

    def run(self, check_mode: bool = False, **options: Any) -> Result:
        given = {"state_root": str(self.state_root), "work_root": str(self.work_root), "sees_all_processes": True}
        return run("container_bundle", {"layout": self.layout, **given, **options}, check_mode)

    def add(self, name: str = "unit-5", **files: str) -> Path:
        """A bundle as containerd leaves it."""
        bundle = self.state / name
        (bundle / "rootfs").mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps(SPEC))
        for file, text in files.items():
            (bundle / file.replace("_", ".")).write_text(text)
        work = self.work / name
        work.mkdir(parents=True)
        (work / "log").write_text("x")
        if self.layout == "containerd_v2":
            (bundle / "work").symlink_to(work)
        return bundle


@pytest.fixture(params=["containerd_v2", "containerd_v1"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, request.param)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_bundle_is_made_with_the_modes_of_the_contract(site: Site) -> None:
    planned = site.run(check_mode=True, container_id="unit-5", spec=SPEC)
    assert not site.state_root.exists()
    made = site.run(container_id="unit-5", spec=SPEC)
    assert (made.failed, made.changed) == (False, True), made
    assert planned.value["diff"] == made.value["diff"]
    assert planned.value["bundles"] == made.value["bundles"]
    bundle = site.state / "unit-5"
    assert mode(bundle) == 0o700
    assert mode(bundle / "rootfs") == 0o711
    assert mode(site.work / "unit-5") == 0o711
    assert mode(site.state) == 0o711
    assert json.loads((bundle / "config.json").read_bytes()) == SPEC
    if site.layout == "containerd_v2":
        assert os.readlink(bundle / "work") == str(site.work / "unit-5")
    again = site.run(container_id="unit-5", spec=SPEC)
    assert (again.failed, again.changed) == (False, False), again


@NEEDS_ROOT
def test_C10_gid_mappings_make_it_reachable_for_the_mapped_group_alone(site: Site) -> None:
    mappings = [{"containerID": 0, "hostID": 12345, "size": 1000}]
    site.run(container_id="unit-5", spec={**SPEC, "linux": {"gidMappings": mappings}})
    assert mode(site.state / "unit-5") == 0o710
    assert (site.state / "unit-5").stat().st_gid == 12345


def test_another_spec_is_written_and_secrets_stay(site: Site) -> None:
    site.run(container_id="unit-5", spec=SPEC)
    other = {**SPEC, "hostname": "new"}
    changed = site.run(container_id="unit-5", spec=other)
    assert changed.value["bundles"][0]["action"] == "updated"
    assert json.loads((site.state / "unit-5" / "config.json").read_bytes()) == other
    assert "hidden-value" not in json.dumps(changed.value)


def test_a_bundle_that_lacks_something_is_completed(site: Site) -> None:
    site.run(container_id="unit-5", spec=SPEC)
    (site.state / "unit-5" / "rootfs").rmdir()
    (site.work / "unit-5").rmdir()
    (site.state / "unit-5").chmod(0o755)
    done = site.run(container_id="unit-5", spec=SPEC)
    assert done.value["bundles"][0]["action"] == "updated"
    assert (site.state / "unit-5" / "rootfs").is_dir()
    assert (site.work / "unit-5").is_dir()
    assert mode(site.state / "unit-5") == 0o700
    assert not site.run(container_id="unit-5", spec=SPEC).changed


def test_promise_1_the_diff_tells_of_a_mode_alone(site: Site) -> None:
    site.run(container_id="unit-5", spec=SPEC)
    bundle = site.state / "unit-5"
    bundle.chmod(0o755)
    gid = bundle.stat().st_gid
    planned = site.run(check_mode=True, container_id="unit-5", spec=SPEC)
    done = site.run(container_id="unit-5", spec=SPEC)
    assert done.changed and done.value["diff"] == planned.value["diff"]
    (shown,) = done.value["diff"]
    assert shown["before"] == f"mode      {bundle} (0755, gid {gid})\n"
    assert shown["after"] == f"mode      {bundle} (0700, gid {gid})\n"
    many = [{"container_id": f"many-{number}", "spec": SPEC} for number in range(101)]
    site.run(bundles=many)
    (site.state / "many-7").chmod(0o755)
    (listing,) = site.run(bundles=many).value["diff"]
    assert listing["before"] == f"mode      {site.state}/many-7 (0755, gid {gid})\n"
    assert listing["after"] == f"mode      {site.state}/many-7 (0700, gid {gid})\n"


def test_problem_36_the_second_of_two_that_make_it_fails_and_takes_nothing_away(site: Site) -> None:
    site.run(container_id="unit-5", spec=SPEC)
    (site.state / "unit-5" / "rootfs" / "data").write_text("x")
    refused = site.run(container_id="unit-5", spec=SPEC, fail_if_exists=True)
    assert "it exists already" in refused.msg
    assert (site.state / "unit-5" / "rootfs" / "data").read_text() == "x"


def test_C3_a_work_directory_of_an_older_container_is_not_used_again(site: Site) -> None:
    (site.work / "unit-5").mkdir(parents=True)
    (site.work / "unit-5" / "old.log").write_text("x")
    refused = site.run(container_id="unit-5", spec=SPEC)
    assert "it is left from an older container" in refused.msg
    assert not (site.state / "unit-5").exists()
    assert (site.work / "unit-5" / "old.log").exists()


def test_C5_a_step_that_fails_leaves_nothing_of_this_run(site: Site) -> None:
    site.work.mkdir(parents=True)
    site.state.mkdir(parents=True)
    (site.state / "unit-5").write_text("somebody's file")
    refused = site.run(container_id="unit-5", spec=SPEC)
    assert "it is no directory" in refused.msg
    assert list(site.work.iterdir()) == []
    assert (site.state / "unit-5").read_text() == "somebody's file"


def test_all_of_a_dead_bundle_goes(site: Site) -> None:
    bundle = site.add(init_pid="4194999", address="unix:///run/containerd/s/" + "0" * 64)
    planned = site.run(check_mode=True, container_id="unit-5", state="absent")
    done = site.run(container_id="unit-5", state="absent")
    assert (done.failed, done.changed) == (False, True), done
    assert planned.value["diff"] == done.value["diff"]
    assert planned.value["bundles"] == done.value["bundles"]
    assert not bundle.exists()
    assert list(site.state.iterdir()) == []
    assert list(site.work.iterdir()) == []
    assert not site.run(container_id="unit-5", state="absent").changed


def test_C9_the_work_link_is_never_followed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("keep")
    bundle = site.add()
    (bundle / "work").unlink()
    (bundle / "work").symlink_to(precious)
    done = site.run(container_id="unit-5", state="absent")
    assert not done.failed, done.msg
    assert (precious / "data").read_text() == "keep"
    assert list(site.work.iterdir()) == []


def test_C7_a_bundle_that_is_gone_leaves_a_work_directory_that_is_removed(site: Site) -> None:
    site.add()
    subprocess.run(["rm", "-rf", str(site.state / "unit-5")], check=True)
    done = site.run(container_id="unit-5", state="absent")
    assert done.value["bundles"][0]["action"] == "deleted"
    assert list(site.work.iterdir()) == []


def test_D2_a_rest_of_an_older_delete_goes_and_a_young_one_of_containerd_too_where_none_runs(site: Site) -> None:
    site.state.mkdir(parents=True)
    for name in (".unit-5", ".unit-5.0123456789abcdef"):
        (site.state / name / "rootfs").mkdir(parents=True)
    (site.state / ".other").mkdir()
    done = site.run(container_id="unit-5", state="absent")
    assert not done.failed, done.msg
    assert [path.name for path in site.state.iterdir()] == [".other"]


def test_B2_a_socket_on_which_somebody_listens_is_live(site: Site) -> None:
    path = site.state_root / "shim.sock"
    site.add(address=f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        refused = site.run(container_id="unit-5", state="absent", force=True)
    assert f"somebody listens on {path}" in refused.msg
    assert (site.state / "unit-5").exists()


def test_A6_an_abstract_socket_is_heard(tmp_path: Path) -> None:
    site = Site(tmp_path, "containerd_v1")
    name = f"unit-abstract-{os.getpid()}"
    site.add(name=name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0/containerd-shim/default/{name}/shim.sock")
        listener.listen()
        refused = site.run(container_id=name, state="absent", force=True)
    assert "somebody listens on the abstract socket" in refused.msg


def test_A4_where_containerd_is_installed_and_does_not_run_a_bundle_is_kept(site: Site) -> None:
    site.add()
    metadata = site.work_root / "io.containerd.metadata.v1.bolt"
    metadata.mkdir(parents=True)
    (metadata / "meta.db").write_bytes(b"no database")
    kept = site.run(container_id="unit-5", state="absent")
    assert "does not run" in kept.msg
    assert "what containerd lists cannot be read" in kept.msg
    assert site.run(container_id="unit-5", state="absent", force=True).changed


def test_A6_two_annotations_that_contradict_each_other_leave_it_unknown(site: Site) -> None:
    bundle = site.add()
    annotations = {"io.kubernetes.cri.sandbox-id": "pod-a", "io.kubernetes.cri-o.SandboxID": "pod-b"}
    (bundle / "config.json").write_text(json.dumps({**SPEC, "annotations": annotations}))
    assert (
        "it belongs to several sandboxes at once: pod-a, pod-b" in site.run(container_id="unit-5", state="absent").msg
    )


def test_what_cannot_be_read_is_unknown_and_kept(site: Site) -> None:
    bundle = site.add()
    (bundle / "address").mkdir()
    kept = site.run(container_id="unit-5", state="absent")
    assert "address cannot be read: it is not a plain file" in kept.msg
    assert bundle.exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "container_id: it is missing"),
        ({"container_id": 123}, "Quote it"),
        ({"container_id": "../x", "state": "absent"}, "is not a name"),
        ({"container_id": ".unit-5", "state": "absent"}, "Its names do not begin with '.'"),
        ({"container_id": "-x", "spec": SPEC}, "cannot be the name of something new"),
        ({"container_id": "unit-5", "namespace": "a/b", "state": "absent"}, "namespace: 'a/b' is not a name"),
        ({"container_id": "unit-5"}, "there is nothing to make it from. Give spec or spec_file"),
        ({"container_id": ["unit-5", "b5"], "spec": SPEC}, "several ids share everything only with state=absent"),
        ({"container_id": "unit-5", "spec": SPEC, "state": "absent"}, "there is nothing to write with state=absent"),
        ({"container_id": "unit-5", "spec": {"ociVersion": "1.0.2"}}, "spec.process"),
        ({"container_id": "unit-5", "spec_file": "/nowhere/config.json"}, "there is no file /nowhere/config.json"),
        ({"container_id": "unit-5", "path": "/srv", "state": "absent"}, "path: "),
        (
            {"bundles": [{"container_id": "unit-5"}, {"container_id": "unit-5"}], "state": "absent"},
            "'unit-5' is there twice",
        ),
    ],
)
def test_wrong_options_are_refused_in_words(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    site = Site(tmp_path)
    refused = site.run(**options)
    assert refused.failed
    assert text in refused.msg
    assert not site.state_root.exists()


def test_a_text_with_commas_is_several(site: Site) -> None:
    bundles = [site.add(name) for name in ("a1", "a2")]
    done = site.run(container_id="a1, a2", state="absent")
    assert [one["action"] for one in done.value["bundles"]] == ["deleted", "deleted"], done.msg
    assert not any(path.exists() for path in bundles)


def test_an_empty_list_means_none(site: Site) -> None:
    site.add()
    done = site.run(container_id=[], state="absent")
    assert (done.failed, done.changed, done.value["bundles"]) == (False, False, [])


def test_many_bundles_in_one_task_and_one_failure(site: Site) -> None:
    for name in ("a1", "a2", "a3"):
        site.add(name)
    (site.state / "a2" / "bootstrap.json").write_text("{")
    done = site.run(container_id=["a1", "a2", "a3"], state="absent")
    assert [entry["action"] for entry in done.value["bundles"]] == ["deleted", "failed", "deleted"]
    assert done.msg.startswith("1 of 3 bundles failed, 2 changed.")


def test_a_spec_file_of_the_host_and_namespaces_of_their_own(tmp_path: Path) -> None:
    site = Site(tmp_path)
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(SPEC))
    entries = [{"container_id": "unit-5", "namespace": name, "spec_file": str(file)} for name in ("k8s.io", "moby")]
    assert site.run(bundles=entries).changed
    info = run(
        "container_bundle_info",
        {
            "layout": "containerd_v2",
            "state_root": str(site.state_root),
            "work_root": str(site.work_root),
            "sees_all_processes": True,
            "with_documents": True,
        },
    )
    found = info.value["bundles"]
    assert [(one["namespace"], one["container_id"], one["verdict"]) for one in found] == [
        ("k8s.io", "unit-5", "leftover"),
        ("moby", "unit-5", "leftover"),
    ]
    assert found[0]["spec"]["process"]["args"] == ["/bin/true"]
    assert "hidden-value" not in json.dumps(info.value)
    assert info.msg.startswith("2 bundles: 2 leftover.")


def sleeping(*words: str) -> subprocess.Popen[bytes]:
    """A process with these arguments."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", *words])


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that names nothing."""
    with sleeping() as process:
        yield process
        process.kill()


def start_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def add_runc_state(site: Site, bundle: Path, **fields: Any) -> Path:
    folder = site.state_root / "runc/default" / bundle.name
    folder.mkdir(parents=True)
    state = {"config": {"labels": [f"bundle={bundle}"]}, **fields}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


# One that names the container in its arguments may be anybody; that it is the recorded one proves more.
@pytest.mark.parametrize("names_it", [False, True])
def test_A7_the_process_that_runc_has_recorded_is_its_owner(site: Site, names_it: bool) -> None:
    name = f"unit-a7-{os.getpid()}"  # all processes are looked at, also those of tests that run beside this one
    bundle = site.add(name)
    with sleeping(*([name] if names_it else [])) as process:
        try:
            began = start_ticks(process.pid)
            add_runc_state(site, bundle, init_process_pid=process.pid, init_process_start=began)
            refused = site.run(container_id=name, state="absent", force=True)
            assert "is its first process, as runc has recorded" in refused.msg
            assert process.poll() is None
            stopped = site.run(container_id=name, state="absent", stop_processes=True)
            assert not stopped.failed, stopped.msg
            assert process.wait(10) == -15
        finally:
            process.kill()


@pytest.mark.parametrize("file", ["init_pid", "shim_pid"])
def test_R7_C2_a_stranger_with_the_recorded_pid_is_no_owner_and_survives(
    site: Site, sleeper: subprocess.Popen[bytes], file: str
) -> None:
    bundle = site.add(**{file: str(sleeper.pid)})
    folder = add_runc_state(site, bundle, init_process_pid=sleeper.pid, init_process_start=start_ticks(sleeper.pid) - 1)
    done = site.run(container_id="unit-5", state="absent", stop_processes=True)
    assert not done.failed, done.msg
    assert not folder.exists()
    assert sleeper.poll() is None


def test_what_runc_keeps_of_another_bundle_is_left_and_told(site: Site, tmp_path: Path) -> None:
    site.add()
    folder = add_runc_state(site, tmp_path / "elsewhere" / "unit-5")
    done = site.run(container_id="unit-5", state="absent")
    assert "runc will refuse the id: it was made from" in done.value["bundles"][0]["msg"]
    assert (folder / "state.json").exists()
