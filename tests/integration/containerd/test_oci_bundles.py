# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bundles that container_bundle makes with layout=oci are run by real runtimes as they are."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import runsc
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.containerd import Lab, available
from ansible_collections.sandboxed.containers.tests.lab.forked import forked
from ansible_collections.sandboxed.containers.tests.lab.packages import package, tool

pytestmark = pytest.mark.real
# The program, and the packages that have it and its libraries.
RUNTIMES = {"runc": ("runc", "runc"), "crun": ("crun", "crun", "libyajl2", "libseccomp2", "libcap2", "libsystemd0")}
HELLO = ("/bin/echo", "hello from the bundle")


def image(folder: Path) -> Path:
    """A root file system of busybox."""
    programs = folder / "image" / "bin"
    programs.mkdir(parents=True)
    shutil.copy2(package("busybox-static") / "bin/busybox", programs / "busybox")
    for applet in ("sh", "sleep", "echo"):
        (programs / applet).symlink_to("busybox")
    for target in ("proc", "dev"):  # crun makes no /dev
        (folder / "image" / target).mkdir()
    return folder / "image"


def spec(root: Path, *args: str) -> dict[str, Any]:
    """The smallest spec for these arguments, whose root file system is the caller's."""
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    return {**runsc.bundle_config(args, {}), "root": {"path": str(root)}, "mounts": mounts}


@pytest.fixture
def host() -> Iterator[Lab]:
    """An inner host with runc, and no daemon."""
    why = available("1.7")
    if why:
        pytest.skip(why)
    with Lab("1.7") as one:
        yield one


def bundle(host: Lab, **options: Any) -> Result:
    """container_bundle on the inner host."""
    path = str(host.workspace.folder / "bundles")
    return host.module("container_bundle", layout="oci", path=path, container_id="lab-oci-1", **options)


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_a_runtime_runs_it_and_while_it_lives_it_is_kept(host: Lab, name: str) -> None:
    runtime = shlex.join(tool(*RUNTIMES[name]))
    root = image(host.workspace.folder)
    where = host.workspace.folder / "bundles" / "lab-oci-1"
    assert bundle(host, spec=spec(root, *HELLO)).changed
    assert "hello from the bundle" in host.shell(f"{runtime} run --bundle {where} lab-oci-1")
    assert bundle(host, spec=spec(root, "/bin/sleep", "1000")).answer["bundles"][0]["action"] == "updated"
    host.shell(f"{runtime} run --detach --bundle {where} lab-oci-1 </dev/null >/dev/null 2>&1")
    refused = bundle(host, state="absent", force=True)
    assert refused.failed
    assert "is in use: sleep" in refused.message
    assert bundle(host, spec=spec(root, *HELLO)).failed, "nothing of a live container is changed"
    host.shell(f"{runtime} delete --force lab-oci-1")
    gone = bundle(host, state="absent")
    assert (gone.failed, gone.changed) == (False, True), gone.message
    assert (root / "bin/busybox").exists()


def test_A7_a_live_one_is_told_although_its_cgroup_has_another_name(host: Lab) -> None:
    made = spec(image(host.workspace.folder), "/bin/sleep", "1000")
    made["linux"]["cgroupsPath"] = "/lab-odd/shared"
    where = host.workspace.folder / "bundles" / "lab-oci-1"
    assert bundle(host, spec=made).changed
    host.shell(f"runc run --detach --bundle {where} lab-oci-1 </dev/null >/dev/null 2>&1")
    refused = bundle(host, state="absent", force=True)
    assert refused.failed
    assert "is in use: sleep" in refused.message
    assert where.exists()


def test_runsc_runs_it(tmp_path: Path) -> None:
    why = runsc.available("new")
    if why:
        pytest.skip(why)
    with runsc.Lab() as lab:
        given = {"layout": "oci", "path": str(lab.folder / "bundles"), "container_id": "lab-oci-2"}
        made = forked("container_bundle", **given, spec=spec(image(lab.folder), *HELLO))
        assert made.changed, made.message
        printed = lab.runsc().must("run", "--bundle", lab.folder / "bundles" / "lab-oci-2", "lab-oci-2")
        assert "hello from the bundle" in printed
        gone = forked("container_bundle", **given, state="absent")
        assert (gone.failed, gone.changed) == (False, True), gone.message
