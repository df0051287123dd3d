# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the layouts derive, compared with what a real containerd has made."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import hierarchies
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import to_find
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import (
    Listed,
    read_listed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.oci_spec import sandbox_ids, shim_group
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.shim_sockets import (
    is_shim_socket,
    parse_address,
    socket_name,
)
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.containerd import (
    ADDRESS,
    METADATA,
    RUNTIMES,
    SOCKETS,
    Lab,
)

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["1.7"], indirect=True)


def listed(lab: Lab) -> dict[str, Listed]:
    with open_given(str(lab.host.path(METADATA))) as directory:
        found = read_listed(directory)
    assert found is not None
    return found


def config(lab: Lab, container_id: str, runtime: str = "v2") -> dict[str, Any]:
    text = (lab.bundle(container_id, runtime) / "config.json").read_text(encoding="utf-8")
    spec: dict[str, Any] = json.loads(text)
    return spec


def test_A5_a_living_daemons_list_is_read_without_its_lock(lab: Lab) -> None:
    database = lab.host.path(f"{METADATA}/meta.db")
    lab.run("a5")
    lab.run("stopped", args=["/bin/true"])
    lab.run("b5", namespace="k8s.io")
    assert processes.holds_lock(database.stat()) == [lab.daemon()]
    found = listed(lab)
    assert found["default"].containers == {"a5", "stopped"}
    assert found["k8s.io"].containers == {"b5"}
    assert processes.holds_lock(database.stat()) == [lab.daemon()]
    lab.delete("a5")
    assert listed(lab)["default"].containers == {"stopped"}
    lab.kill_daemon()
    assert listed(lab)["default"].containers == {"stopped"}
    lab.start()
    assert lab.containers() == ["stopped"]


@newest
def test_A5_sandboxes_of_1_7_are_listed(lab: Lab) -> None:
    pod = lab.workspace.folder / "pod.json"
    pod.write_text("{}", encoding="utf-8")
    assert lab.ctr("sandboxes", "run", str(pod), "lab-pod-1").code != 0  # its shim knows no sandbox; the entry stays
    assert "lab-pod-1" in lab.must("sandboxes", "ls")
    assert listed(lab)["default"].sandboxes == {"lab-pod-1"}


@pytest.mark.long
@newest
def test_A5_a_daemon_that_writes_all_the_time_is_read_whole(lab: Lab) -> None:
    """Several clients create and delete; what is there all the time is in each answer, what never was in none."""
    spec = {
        "ociVersion": "1.0.2",
        "process": {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
    }
    path = lab.workspace.folder / "config.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    create = f"ctr --address {ADDRESS} --namespace default containers create --config {path}"
    remove = f"ctr --address {ADDRESS} --namespace default containers delete"
    lab.shell(f"for n in $(seq 20); do {create} keep-$n; done")
    keep = {f"keep-{number}" for number in range(1, 21)}
    seen: set[str] = set()
    refusals: list[str] = []
    answers = 0
    with ExitStack() as stack:
        for writer in range(3):
            loop = f"n=0; while :; do n=$((n+1)); {create} come-{writer}-$n; {remove} come-{writer}-$n; done"
            stack.callback(lab.spawn_shell(loop).close)

        def read() -> bool:
            nonlocal answers
            try:
                found = listed(lab)["default"]
            except Unreadable as error:
                refusals.append(error.why)
                return False
            assert keep <= found.containers
            assert all(one.startswith("come-") for one in found.containers - keep)
            seen.update(found.containers - keep)
            answers += 1
            return answers >= 100 and len(seen) >= 10

        processes.wait_until(read, "100 answers while 10 containers came and went", 120)
    assert all(why.startswith("it was written to") for why in refusals)
    assert len(refusals) < answers
    lab.kill_daemon()
    assert keep <= listed(lab)["default"].containers


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_C11_the_socket_of_a_real_shim_has_the_derived_name(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    address = parse_address((lab.bundle("a5", runtime) / "address").read_bytes(), "address")
    assert address.path == f"{SOCKETS}/{socket_name(ADDRESS, 'default', 'a5')}"
    assert is_shim_socket(address.path, [SOCKETS])
    assert lab.host.path(address.path).is_socket()


def test_A6_the_socket_of_a_pods_shim_is_found_by_the_annotation(lab: Lab) -> None:
    lab.run_pod("lab-pod-1", "c-1")
    for one in ("lab-pod-1", "c-1"):
        spec = config(lab, one)
        group = shim_group(spec)
        assert group == "lab-pod-1"
        assert sandbox_ids(spec) == ("lab-pod-1",)
        address = parse_address((lab.bundle(one) / "address").read_bytes(), "address")
        assert address.path == f"{SOCKETS}/{socket_name(ADDRESS, 'default', group)}"


def test_A6_a_group_of_runcs_own_counts_before_the_pod(lab: Lab) -> None:
    lab.run("a5", annotations={"io.containerd.runc.v2.group": "web", "io.kubernetes.cri.sandbox-id": "lab-pod-1"})
    address = parse_address((lab.bundle("a5") / "address").read_bytes(), "address")
    assert shim_group(config(lab, "a5")) == "web"
    assert address.path == f"{SOCKETS}/{socket_name(ADDRESS, 'default', 'web')}"


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_the_cgroups_of_a_real_container_are_among_those_that_are_derived(lab: Lab, runtime: str) -> None:
    lab.run("a5", runtime=runtime)
    pid = int((lab.bundle("a5", runtime) / "init.pid").read_text(encoding="utf-8"))
    hosts = list(hierarchies(MountTable.read(lab.host.init).mounts))
    found = to_find(config(lab, "a5", runtime), "a5", "", hosts)
    # A process is in one cgroup of each hierarchy; runc 1.1 makes one in v2's as well where that stands beside v1.
    holding = [one for one in found if pid in _inside(lab, one.path)]
    assert [one.hierarchy for one in holding] == hosts
    assert all(one.carries("a5") and one.place.form == "plain" for one in holding)


def _inside(lab: Lab, path: str) -> list[int]:
    """The processes of a cgroup, by the numbers that they have on the inner host."""
    procs = lab.host.path(f"{path}/cgroup.procs")
    if not procs.exists():
        return []
    return [lab.host.inside(int(line)) for line in procs.read_text(encoding="utf-8").split()]
