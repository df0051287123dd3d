# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine lists is kept, wherever it keeps its list (safety.md A4, A5, A10)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import HostTree
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import SPEC

NAME = "hostunit-1"
STORAGE = "var/lib/containers/storage"
LISTED = json.dumps([{"id": NAME}])
LISTS = {
    "CRI-O": {f"{STORAGE}/overlay-containers/containers.json": LISTED},
    "for this boot": {f"{STORAGE}/overlay-containers/volatile-containers.json": LISTED},
    "a directory alone": {
        f"{STORAGE}/overlay-containers/containers.json": "",
        f"{STORAGE}/overlay-containers/{NAME}/userdata/config.json": "{}",
    },
    "another driver": {f"{STORAGE}/vfs-containers/containers.json": LISTED},
    "storage configured by a distribution": {
        "usr/share/containers/storage.conf": "graphroot = '/data/storage'\n",
        "data/storage/overlay-containers/containers.json": LISTED,
    },
    "configured storage": {
        "etc/containers/storage.conf": '[storage]\ndriver = "overlay"\ngraphroot = "/data/storage"\n',
        "data/storage/overlay-containers/containers.json": LISTED,
    },
    "storage configured for CRI-O": {
        "etc/crio/crio.conf": '[crio]\nroot = "/data/crio"\nrunroot = "/run/crio"\n',
        "data/crio/overlay-containers/containers.json": LISTED,
    },
    "in a drop-in of CRI-O's": {
        "etc/crio/crio.conf.d/10-storage.conf": "[crio]\nroot = '/data/crio'\n",
        "data/crio/overlay-containers/containers.json": LISTED,
    },
    "Docker": {f"var/lib/docker/containers/{NAME}/config.v2.json": "{}"},
    "Docker of a snap": {f"var/snap/docker/common/var-lib-docker/containers/{NAME}/config.v2.json": "{}"},
    "configured Docker": {
        "etc/docker/daemon.json": '{"data-root": "/data/docker"}',
        f"data/docker/containers/{NAME}/config.v2.json": "{}",
    },
    "Docker with users of its own": {f"var/lib/docker/165536.165536/containers/{NAME}/config.v2.json": "{}"},
}
UNKNOWN_LISTS = {
    "cut": {f"{STORAGE}/overlay-containers/volatile-containers.json": '[{"id":'},
    "an id that is none": {f"{STORAGE}/overlay-containers/containers.json": '[{"id": []}]'},
    "Docker's configuration": {"etc/docker/daemon.json": "{"},
    "Docker's root is not there": {"etc/docker/daemon.json": '{"data-root": "/disk/docker"}'},
    "Docker's root is no path": {"etc/docker/daemon.json": '{"data-root": "/x\\u0000y"}'},
    "Docker's root is no text": {"etc/docker/daemon.json": '{"data-root": "/x\\ud800y"}'},
    "Docker's root is not absolute": {"etc/docker/daemon.json": '{"data-root": "docker"}'},
    "CRI-O's root is not there": {"etc/crio/crio.conf.d/10.conf": '[crio]\nroot = "/disk/storage"'},
    "a setting that is not understood": {"etc/containers/storage.conf": 'storage = { graphroot = "/data" }'},
    "containerd's root is not there": {"etc/containerd/config.toml": 'root = "/disk/containerd"'},
    "containerd's database is not there": {
        "etc/containerd/config.toml": "version = 2",
        "run/containerd/containerd.sock.ttrpc": "",
    },
}
DEAD_LINKS = (
    "var/lib/docker",
    "var/lib/containers",
    "var/lib/containerd",
    "etc/docker/daemon.json",
    "etc/containers/storage.conf",
    "etc/crio/crio.conf.d/10.conf",
    "etc/containerd/config.toml",
)


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def call(host: HostTree, module: str, **options: object) -> Result:
    given = {name: value for name, value in host.options.items() if name != "min_age"}
    return run(module, {**given, **options})


def absent(host: HostTree, module: str, **options: object) -> Result:
    return call(host, module, state="absent", **options)


def made(host: HostTree) -> dict[str, Path]:
    return {
        "sandbox": host.kata_persist(NAME),
        "mapping": host.mapping(NAME, f"{NAME}-gone"),
        "bundle": host.bundle(NAME),
    }


@pytest.mark.parametrize("files", LISTS.values(), ids=LISTS)
def test_A5_what_is_listed_is_kept_by_everyone(host: HostTree, files: dict[str, str]) -> None:
    paths = made(host)
    for path, text in files.items():
        host.write(path, text)
    assert host.verdicts() == dict.fromkeys((f"{kind} {NAME}" for kind in paths), "unknown")
    assert not host.prune().changed
    kept = absent(host, "sandbox_state", layout="kata_persist", sandbox_id=NAME)
    assert kept.failed and f"lists {NAME}" in kept.msg
    assert all(path.exists() for path in paths.values())
    asked = {"host_root": str(host.root), "sees_all_processes": True, "layout": "kata_persist"}
    shown = run("sandbox_state_info", asked)
    assert [one["verdict"] for one in shown.value["sandboxes"]] == ["unknown"]


def test_A5_a_configuration_may_be_a_link(host: HostTree) -> None:
    host.kata_persist(NAME)
    host.write("opt/docker.json", '{"data-root": "/data/docker"}')
    host.folder("etc/docker")
    (host.root / "etc/docker/daemon.json").symlink_to("/opt/docker.json")
    assert host.verdicts() == {f"sandbox {NAME}": "unknown"}  # it is not mounted yet
    host.folder("data/docker")
    assert host.verdicts() == {f"sandbox {NAME}": "leftover"}
    host.write(f"data/docker/containers/{NAME}/config.v2.json", "{}")
    assert host.verdicts() == {f"sandbox {NAME}": "unknown"}


@pytest.mark.parametrize("files", UNKNOWN_LISTS.values(), ids=UNKNOWN_LISTS)
def test_A5_what_a_list_says_that_cannot_be_read_is_not_known(host: HostTree, files: dict[str, str]) -> None:
    state = host.kata_persist(NAME)
    for path, text in files.items():
        host.write(path, text)
    assert host.verdicts() == {f"sandbox {NAME}": "unknown"}
    kept = absent(host, "sandbox_state", layout="kata_persist", sandbox_id=NAME)
    assert kept.failed and ("lists cannot be read" in kept.msg or "lists is not known" in kept.msg)
    named = absent(host, "sandbox_state", layout="kata_persist", sandbox_id=NAME, run_root=str(host.root / "run/vc"))
    assert named.changed and not state.exists()  # no engine need know of a directory that the user names


@pytest.mark.parametrize("path", DEAD_LINKS)
def test_A5_a_link_that_leads_to_nothing_is_a_disk_that_is_not_mounted(host: HostTree, path: str) -> None:
    host.kata_persist(NAME)
    assert host.verdicts() == {f"sandbox {NAME}": "leftover"}
    host.folder(path).rmdir()
    (host.root / path).symlink_to("/disk/there")
    assert host.verdicts() == {f"sandbox {NAME}": "unknown"}


def test_A5_what_packages_configure_need_not_have_been_used(host: HostTree) -> None:
    host.kata_persist(NAME)
    host.write("etc/containers/storage.conf", '[storage]\ngraphroot = "/var/lib/containers/storage"\n')
    host.write("etc/containerd/config.toml", "version = 2\n")
    assert host.verdicts() == {f"sandbox {NAME}": "leftover"}


def test_A4_a_containerd_that_is_set_up_has_a_list_somewhere(host: HostTree) -> None:
    """Its file system may not be mounted yet."""
    bundle = host.bundle(NAME)
    assert host.verdicts() == {f"bundle {NAME}": "leftover"}
    host.write("etc/containerd/config.toml", "version = 2\n")
    assert host.verdicts() == {f"bundle {NAME}": "unknown"}
    assert "it has no database, though containerd is set up here" in host.evidence(f"bundle {NAME}")
    given = {"layout": "containerd_v2", "namespace": "k8s.io"}
    kept = absent(host, "container_bundle", **given, container_id=NAME)
    assert kept.failed and bundle.exists()
    assert call(host, "container_bundle", **given, container_id="hostunit-2", spec=SPEC).changed  # nothing lists it yet
    forced = absent(host, "container_bundle", **given, container_id=NAME, force=True)
    assert forced.changed and not bundle.exists()


@pytest.mark.parametrize("state", ["run/k3s/containerd", "data/containerd"])
def test_A4_a_state_directory_is_never_judged_by_another_ones_list(host: HostTree, state: str) -> None:
    bundle = host.write(f"{state}/io.containerd.runtime.v2.task/k8s.io/{NAME}/config.json", "{}").parent
    host.write("var/lib/rancher/k3s/agent/containerd/io.containerd.metadata.v1.bolt/meta.db", "no database")
    given = {"layout": "containerd_v2", "namespace": "k8s.io", "container_id": NAME}
    kept = absent(host, "container_bundle", **given, state_root=str(host.root / state))
    assert kept.failed and "what containerd lists cannot be read" in kept.msg and bundle.exists()
    alone = absent(host, "container_bundle", **given, state_root=str(host.root / state), work_root=str(host.root / "w"))
    assert alone.changed and not bundle.exists()
