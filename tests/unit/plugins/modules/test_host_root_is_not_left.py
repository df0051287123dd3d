# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that is found on a host leads out of its host_root (promise 5), however its links are."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import RUN_DIR
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_virtiofsd import RECORD
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import HostTree

TASK = "io.containerd.runtime.v2.task"
LINKS = {
    "the usual tasks": (f"run/containerd/{TASK}", "{outside}/tasks"),
    "the tasks of k3s": (f"run/k3s/containerd/{TASK}", "{outside}/tasks"),
    "all of k3s": ("run/k3s", "../../outside/k3s"),
    "the state of k3s": ("run/k3s/containerd", "{outside}/k3s/containerd"),
    "a namespace of runsc": ("run/containerd/runsc/k8s.io", "{outside}/runsc"),
    "a namespace of runsc, by steps": ("run/containerd/runsc/k8s.io", "../../../../outside/runsc"),
    "Kata's": ("run/vc", "../../outside/vc"),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What looks like leftovers, and is somebody else's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    tree = HostTree(folder)
    for tasks in ("tasks", f"k3s/containerd/{TASK}"):
        tree.write(f"{tasks}/k8s.io/precious/config.json", "{}")
        tree.write(f"{tasks}/k8s.io/precious/rootfs/payroll.db", "data")
    tree.gvisor("precious", root="runsc")
    tree.write("vc/sbs/precious/persist.json", "{}")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("link", "target"), LINKS.values(), ids=LINKS)
def test_a_link_out_of_the_tree_is_no_way_to_a_strangers_data(
    tmp_path: Path, outside: Path, link: str, target: str
) -> None:
    root = tmp_path / "host"
    root.mkdir()
    host = HostTree(root)
    own = host.kata_rs("hostunit-1")
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(target.format(outside=outside))
    before = names(outside)
    found = host.info(with_plan=True)
    assert not any("precious" in json.dumps(one) for one in found.value["objects"])
    done = host.prune()
    assert names(outside) == before
    # What leads out may hide a list of containers: then that is said, and nothing is removed.
    assert done.changed is not own.exists()
    assert done.changed or "lists is not known" in host.evidence("sandbox hostunit-1")


def test_a_record_of_a_tree_names_nothing_of_this_machine(tmp_path: Path, outside: Path) -> None:
    """A cloned image has this machine's id; its cgroups and sockets are those of a host that does not run."""
    root = tmp_path / "host"
    root.mkdir()
    host = HostTree(root)
    cgroup = outside / "keep" / "web"
    cgroup.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(outside / "a.sock"))
    file = (outside / "a.sock").stat()
    record = RECORD._replace(
        boot_id="another", cgroups=(str(cgroup),), socket_path=str(outside / "a.sock"),
        socket_file=((file.st_dev, file.st_ino),),
    )  # fmt: skip
    path = host.write(f"{RUN_DIR[1:]}/unit-web.json", json.dumps({"schema": 1, **record._asdict()}))
    before = names(outside)
    done = host.prune()
    assert done.changed and not path.exists(), done.msg
    assert names(outside) == before
