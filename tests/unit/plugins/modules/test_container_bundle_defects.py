# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defects of containerd's own code that bundles survive here (containerd-bundles.md)."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.unmounting import unmount_all
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import (
    SPEC,
    Site,
    add_runc_state,
)

MAPPED = {**SPEC, "linux": {"gidMappings": [{"containerID": 0, "hostID": 4242, "size": 1}]}}


@pytest.mark.parametrize("step", ["fchown", "fchmod"])
@pytest.mark.parametrize("layout", ["containerd_v2", "containerd_v1"])
def test_C5_a_bundle_whose_permissions_cannot_be_set_is_taken_back(
    tmp_path: Path, layout: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, layout)
    site.add("unit-6")
    before = sorted(tmp_path.rglob("*"))
    true = getattr(os, step)

    def refused(descriptor: int, *given: int) -> None:
        if "unit-5" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        true(descriptor, *given)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refused)
        failed = site.run(container_id="unit-5", spec=MAPPED)
    assert failed.failed and not failed.changed and "Operation not permitted" in failed.msg, failed.value
    assert sorted(tmp_path.rglob("*")) == before
    assert site.run(container_id="unit-5", spec=MAPPED).changed


@support.needs_root
def test_C6_the_mount_that_stays_is_named_whatever_lies_around_it(tmp_path: Path) -> None:
    """Three are stacked below each other; the middle of them is in use, and none of the three hides that."""
    site = Site(tmp_path)
    bundle = site.add()
    rootfs = bundle / "rootfs"

    def mounted() -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        return [point for line in lines if (point := line.split(" ")[4]).startswith(str(rootfs))]

    def work() -> None:
        for place in (rootfs, rootfs / "data", rootfs / "data" / "deep"):
            place.mkdir(exist_ok=True)
            support.tmpfs(str(place))
        support.write(str(rootfs / "data" / "precious"))
        whole = [str(rootfs), f"{rootfs}/data", f"{rootfs}/data/deep"]
        with support.another_process(lambda: os.chdir(rootfs / "data")) as pid:
            refused = site.run(container_id="unit-5", state="absent", on_mounted="unmount", force=True)
            assert refused.failed and f"pid {pid}" in refused.msg, refused.value
            assert mounted() == whole, "nothing is unmounted for a removal that is refused"
            with pytest.raises(InUse, match=f"^{rootfs}/data: .*pid {pid}"):
                unmount_all(str(rootfs), timeout=0.1, any_namespace=True)
            assert mounted() == whole[:2]
            assert (rootfs / "data" / "precious").read_text() == "data"
            assert (bundle / "config.json").exists()
        done = site.run(container_id="unit-5", state="absent", on_mounted="unmount")
        assert not done.failed and mounted() == [] and not bundle.exists(), done.msg

    support.in_private_namespace(work)


@support.needs_root
def test_D3_a_mount_of_another_namespace_in_what_runc_keeps_is_not_detached(tmp_path: Path) -> None:
    site = Site(tmp_path)
    bundle = site.add()
    inner = add_runc_state(site, bundle) / "inner"
    inner.mkdir()

    def work() -> None:
        with support.another_namespace(lambda: support.tmpfs(str(inner))) as pid:
            table = Path(f"/proc/{pid}/mountinfo")
            before = table.read_text(encoding="utf-8")
            for choice in ("refuse", "unmount"):
                kept = site.run(container_id="unit-5", state="absent", on_mounted=choice)
                assert kept.failed and not kept.changed and "of other mount namespaces on it" in kept.msg, kept.value
            assert table.read_text(encoding="utf-8") == before
            assert bundle.exists() and inner.exists()

    support.in_private_namespace(work)


@support.needs_root
def test_D3_what_is_mounted_in_what_runc_keeps_is_unmounted_first(tmp_path: Path) -> None:
    site = Site(tmp_path)
    bundle = site.add()
    folder = add_runc_state(site, bundle)
    (folder / "inner").mkdir()

    def work() -> None:
        support.tmpfs(str(folder / "inner"))
        refused = site.run(container_id="unit-5", state="absent")
        assert refused.failed and f"tmpfs on {folder}/inner" in refused.msg, refused.value
        planned = site.run(check_mode=True, container_id="unit-5", state="absent", on_mounted="unmount")
        done = site.run(container_id="unit-5", state="absent", on_mounted="unmount")
        assert not done.failed and done.value["diff"] == planned.value["diff"], done.value
        assert not bundle.exists() and not folder.exists()

    support.in_private_namespace(work)


@support.needs_root
@pytest.mark.parametrize("covered", ["bundle", "work", "runtime"])
def test_A1_a_mount_on_its_very_directory_hides_whose_it_is(tmp_path: Path, covered: str) -> None:
    """What lies below tells of a shim that lives: it is not judged by what is mounted there instead."""
    site = Site(tmp_path)
    path = tmp_path / "shim.sock"
    bundle = site.add(address=f"unix://{path}")
    places = {"bundle": bundle, "work": site.work / "unit-5", "runtime": add_runc_state(site, bundle)}

    def work() -> None:
        support.tmpfs(str(places[covered]))
        kept = site.run(container_id="unit-5", state="absent", on_mounted="unmount", force=True)
        assert kept.failed and not kept.changed, kept.value
        assert f"cannot be seen below a mount (tmpfs on {places[covered]}). Unmount that by hand." in kept.msg
        support.run("umount", str(places[covered]))
        assert (bundle / "address").exists()

    with socket.socket(socket.AF_UNIX) as listener:
        if covered == "bundle":
            listener.bind(str(path))
            listener.listen()
        support.in_private_namespace(work)
