# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bundles among things that are none, and with files that say nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import SPEC, Site

ADDRESS = "unix:///run/containerd/s/" + "0" * 64


def look(site: Site, **options: object) -> Result:
    """What the info module says of the site."""
    given = {"state_root": str(site.state_root), "work_root": str(site.work_root), "sees_all_processes": True}
    return run("container_bundle_info", {"layout": site.layout, **given, **options})


@pytest.mark.parametrize("root", ["state", "work"])
@pytest.mark.parametrize("where", ["precious", "nowhere"])
def test_C9_a_namespace_that_is_a_link_is_refused(tmp_path: Path, root: str, where: str) -> None:
    """What lies there is nobody's bundle, and nothing is made there."""
    site = Site(tmp_path)
    site.add()
    precious = tmp_path / "precious"
    (precious / "unit-5").mkdir(parents=True)
    (getattr(site, root).parent / "led").symlink_to(tmp_path / where)
    for options in ({"state": "absent", "force": True}, {"spec": SPEC}):
        refused = site.run(container_id="unit-5", namespace="led", **options)
        assert f"namespace: {getattr(site, root).parent}/led is a link to {tmp_path / where}" in refused.msg
    assert (precious / "unit-5").is_dir() and not (tmp_path / "nowhere").exists()
    assert [entry["namespace"] for entry in look(site).value["bundles"]] == ["default"]


def test_what_lies_beside_the_namespaces_stops_nobody(tmp_path: Path) -> None:
    """As containerd passes over it (A10): also where all bundles are asked whether they refer to a socket."""
    sockets = tmp_path / "run/containerd/s"
    sockets.mkdir(parents=True)
    os.mknod(sockets / ("0" * 64), stat.S_IFSOCK | 0o600)
    site = Site(tmp_path)
    site.state_root = tmp_path / "run/containerd"
    site.state = site.state_root / "io.containerd.runtime.v2.task/default"
    site.add(address=ADDRESS)
    (site.state.parent / "README").write_text("a file")
    (site.state.parent / "led").symlink_to(tmp_path)
    done = site.run(container_id="unit-5", state="absent", host_root=str(tmp_path))
    assert not done.failed, done.msg
    assert list(sockets.iterdir()) == [] and list(site.state.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"ociVersion": "1.0', "[]"])
def test_A6_a_damaged_spec_without_an_address_leaves_it_unknown(tmp_path: Path, text: str) -> None:
    """Its pod, whose shim may serve it, cannot be told."""
    site = Site(tmp_path)
    bundle = site.add()
    (bundle / "config.json").write_text(text)
    kept = site.run(container_id="unit-5", state="absent")
    assert f"whose it is cannot be told from {bundle}/config.json: " in kept.msg
    (entry,) = look(site).value["bundles"]
    assert entry["verdict"] == "unknown"
    assert site.run(container_id="unit-5", state="absent", force=True).changed


def test_a_damaged_spec_is_told_where_an_address_shows_its_shim(tmp_path: Path) -> None:
    """Nobody listens there: it is a leftover, and what is wrong with it is said."""
    site = Site(tmp_path)
    bundle = site.add(address=ADDRESS)
    (bundle / "config.json").write_text("{")
    (entry,) = look(site).value["bundles"]
    assert entry["verdict"] == "leftover"
    assert entry["evidence"][0].startswith(f"{bundle}/config.json: ")
    assert site.run(container_id="unit-5", state="absent").changed


def test_what_runc_keeps_and_cannot_be_read_leaves_it_unknown(tmp_path: Path) -> None:
    """There the first process is recorded. Where it is forced, that stays, and it is said."""
    site = Site(tmp_path)
    site.add()
    kept = site.state_root / "runc/default/unit-5/state.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{")
    assert f"{kept} cannot be read: " in site.run(container_id="unit-5", state="absent").msg
    done = site.run(container_id="unit-5", state="absent", force=True)
    assert done.changed and "is left, and runc will refuse the id" in done.value["bundles"][0]["msg"]
    assert kept.exists() and not list(site.state.iterdir())


def test_A6_the_sandbox_file_names_the_pod_whose_shim_serves_it(tmp_path: Path) -> None:
    """containerd 1.7 and newer write it; a bundle that is grouped so has no annotations of a pod."""
    site = Site(tmp_path)
    bundle = site.add(sandbox="pod-7")
    code = "import time; print(flush=True); time.sleep(60)"
    words = ("/x/containerd-shim-runc-v2", "-c", code, "-namespace", "default", "-id", "pod-7")
    pod = site.add("pod-7")
    with subprocess.Popen(words, executable=sys.executable, cwd=pod, stdout=subprocess.PIPE) as shim:
        try:
            assert shim.stdout and shim.stdout.readline()
            refused = site.run(container_id="unit-5", state="absent", force=True)
        finally:
            shim.kill()
    assert refused.failed and not refused.changed and "serves its pod pod-7" in refused.msg, refused.value
    assert bundle.exists()
    (bundle / "sandbox").unlink()
    os.mkfifo(bundle / "sandbox")
    kept = site.run(container_id="unit-5", state="absent")
    assert kept.failed and "it may still have an owner" in kept.msg, kept.value


def test_38_what_lies_in_its_root_directory_is_told_before_it_goes(tmp_path: Path) -> None:
    """A bind mount into a container whose file system was unmounted leaves directories there, or a log was written."""
    site = Site(tmp_path)
    bundle = site.add()
    (empty,) = look(site).value["bundles"]
    assert not any("rootfs" in sentence for sentence in empty["evidence"])
    for name in ("log", "a\nb", "tmp", "var"):
        (bundle / "rootfs" / name).mkdir()
    told = "its rootfs is not mounted, and a removal takes along what lies in it (4): 'a\\nb', 'log', 'tmp', …"
    (entry,) = look(site).value["bundles"]
    assert entry["verdict"] == "leftover" and told in entry["evidence"], entry
    assert site.run(container_id="unit-5", state="absent").changed and not bundle.exists()
