# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    KATA,
    SID,
    layout_of,
    roots_of,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata_processes import (
    BUNDLE,
    CREATE,
    JAIL,
    QEMU,
    READING,
    RS,
    SHARE,
    SHIM,
    SHORT,
    STORE,
    VM,
    claim,
    hosts,
    process,
)

__all__ = ["hosts"]


# Who is proved by the command line that Kata gives it (virtiofsd.md and the three of Kata): layout, line, why, order
# of stopping.
PROVED: dict[str, tuple[str, str, str, int]] = {
    "qemu 1.x": (
        "kata_store",
        f"{QEMU} -qmp unix:{VM}/qmp.sock,server,nowait -chardev socket,path={VM}/console.sock,server -pidfile {VM}/pid",
        "runs its machine",
        2,
    ),
    "qemu 3.x": (
        "kata_persist",
        f"{QEMU} -qmp unix:fd=3,server=on,wait=off -chardev socket,id=c,path={VM}/vhost-fs.sock -pidfile {VM}/pid",
        "runs its machine",
        2,
    ),
    "qemu rs": (
        "kata_rs",
        f"{QEMU} -qmp unix:fd=3,server=on,wait=off -chardev socket,id=virtiofsd-sock,path={RS}/root/virtiofsd.sock",
        "runs its machine",
        2,
    ),
    "cloud hypervisor": (
        "kata_persist",
        f"/opt/kata/bin/cloud-hypervisor --api-socket {VM}/clh-api.sock",
        "runs its machine",
        2,
    ),
    "cloud hypervisor rs": (
        "kata_rs",
        f"/opt/kata/bin/cloud-hypervisor --api-socket {RS}/ch-api.sock",
        "runs its machine",
        2,
    ),
    "firecracker 1.8": (
        "kata_store",
        f"/usr/bin/firecracker --api-sock {STORE}/firecracker.sock",
        "runs its machine",
        2,
    ),
    "firecracker 3.x": (
        "kata_persist",
        f"/opt/kata/bin/firecracker --api-sock {JAIL}/run/firecracker.socket --config-file {JAIL}/../fcConfig.json",
        "runs its machine",
        2,
    ),
    "firecracker rs": (
        "kata_rs",
        f"/opt/kata/bin/firecracker --api-sock {RS}/run/fc.sock",
        "runs its machine",
        2,
    ),
    "stratovirt": ("kata_persist", f"/usr/bin/stratovirt -qmp unix:{VM}/qmp.sock,server", "runs its machine", 2),
    "acrn": ("kata_store", f"/usr/bin/acrn-dm -s 2,socket,{VM}/kata.sock", "runs its machine", 2),
    "virtiofsd 1.7": (
        "kata_store",
        f"/usr/bin/virtiofsd -o vhost_user_socket={VM}/vhost-fs.sock -o source={SHARE} -o cache=auto",
        "serves its files",
        3,
    ),
    "virtiofsd 1.8, the source alone": (
        "kata_store",
        f"/usr/bin/virtiofsd -o vhost_user_socket=/tmp/other.sock -o source={SHARE} -o cache=auto -d",
        "serves its files",
        3,
    ),
    "virtiofsd 1.9": (
        "kata_store",
        f"/usr/bin/virtiofsd --fd=3 -o source={SHARE} -o cache=auto --syslog -o no_posix_lock -f",
        "serves its files",
        3,
    ),
    "virtiofsd 1.10, cloud hypervisor": (
        "kata_store",
        f"/usr/bin/virtiofsd -f -o vhost_user_socket={VM}/virtiofsd.sock -o source={SHARE} -o cache=auto",
        "serves its files",
        3,
    ),
    "virtiofsd 1.12 to 2.1": (
        "kata_persist",
        f"/opt/kata/bin/virtiofsd --fd=3 -o source={SHARE}/shared -o cache=auto --syslog -o no_posix_lock -f",
        "serves its files",
        3,
    ),
    "virtiofsd 1.12, cloud hypervisor": (
        "kata_persist",
        f"/opt/kata/bin/virtiofsd --syslog -f -o cache=auto -o no_posix_lock -o source={SHARE}/shared --fd=3 -o debug",
        "serves its files",
        3,
    ),
    "virtiofsd 2.2 to 3.1": (
        "kata_persist",
        f"/opt/kata/bin/virtiofsd --syslog -o cache=auto -o no_posix_lock -o source={SHARE}/shared --fd=3 -f -o xattr",
        "serves its files",
        3,
    ),
    "virtiofsd 3.2 to 4.1": (
        "kata_persist",
        f"/opt/kata/bin/virtiofsd --syslog --cache=auto --shared-dir={SHARE}/shared --fd=3 --announce-submounts",
        "serves its files",
        3,
    ),
    "virtiofsd rs": (
        "kata_rs",
        f"/opt/kata/libexec/virtiofsd --socket-path {RS}/root/virtiofsd.sock --shared-dir {SHARE}/ro --cache auto",
        "serves its files",
        3,
    ),
    "virtiofsd rs, rootless": (
        "kata_rs",
        f"/opt/kata/libexec/virtiofsd --socket-path virtiofsd.sock --shared-dir {SHARE}/ro --cache auto",
        "serves its files",
        3,
    ),
    "nydusd": (
        "kata_persist",
        f"/usr/local/bin/nydusd virtiofs --log-level info --apisock {VM}/nydusd-api.sock --sock {VM}/vhost-fs.sock",
        "serves its files",
        3,
    ),
    "proxy": (
        "kata_store",
        f"/usr/bin/kata-proxy -listen-socket unix://{STORE}/proxy.sock -mux-socket {VM}/kata.sock -sandbox {SID}",
        "is its proxy",
        1,
    ),
    "container shim": (
        "kata_store",
        f"/usr/libexec/kata-containers/kata-shim -agent unix://{STORE}/proxy.sock -container {CID} -exec-id 1",
        "stands for a container of it",
        0,
    ),
}


@pytest.mark.parametrize("case", PROVED)
def test_A7_owners_by_real_command_lines(hosts: dict[str, Roots], case: str) -> None:
    layout, line, why, order = PROVED[case]
    found = claim(hosts, layout, process(line))
    assert found is not None
    assert (found.proved, found.why, found.stop_order) == (True, why, order)


@pytest.mark.parametrize("case", PROVED)
def test_A8_another_sandbox_is_served_by_its_own_processes(hosts: dict[str, Roots], case: str) -> None:
    """The same command lines with another id, also one that begins or ends with this one's, mean nothing here."""
    layout, line, _why, _order = PROVED[case]
    for other in ("0" * 64, f"{SID}0", f"0{SID}", SID[:-1], f"{SID}.0", f"{SID}-2"):
        named = line.replace(CID, f"{CID}0").replace(SID, other).replace(f"/{SHORT}/", f"/x{SHORT[1:]}/")
        assert claim(hosts, layout, process(named)) is None, named


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("flag", ["-id {}", "--id {}", "-id={}", "--id={}"])
def test_A6_a_shim_serves_the_pod_and_is_never_ours_to_stop(hosts: dict[str, Roots], layout: str, flag: str) -> None:
    line = SHIM.replace(f"-id {SID}", flag.format(SID))
    for executable in ("", None, "/opt/kata/bin/containerd-shim-kata-v2"):
        found = claim(hosts, layout, process(line, exe=executable))
        assert found is not None
        assert (found.proved, found.why, found.rank, found.stop_order) == (True, "serves its pod", 0, None)
        assert "engine" in found.remedy


def test_A6_a_shim_whose_file_has_another_name_than_its_command_line(hosts: dict[str, Roots]) -> None:
    """A runtime class like kata-qemu is a link to the one shim."""
    line = SHIM.replace("containerd-shim-kata-v2", "containerd-shim-kata-qemu-v2")
    found = claim(hosts, "kata_persist", process(line, exe="/opt/kata/bin/containerd-shim-kata-v2"))
    assert found is not None and found.proved


@pytest.mark.parametrize(
    ("line", "mentioned"),
    [
        (f"{SHIM} delete", True),  # at work for an engine's clean-up, and soon gone
        (SHIM.replace(f"-id {SID}", f"-id 0 -bundle {BUNDLE}"), True),
        (SHIM.replace(f"-id {SID}", f"-id {CID}"), True),  # one of its containers: not by the id of a pod
        (SHIM.replace(f"-id {SID}", "-id"), False),
        (SHIM.replace(SID, f"{SID}0"), False),
        (SHIM.replace(SID, SID[:-1]), False),
    ],
    ids=["delete", "another pod's, in its bundle", "of a container", "no id", "longer id", "shorter id"],
)
def test_A8_a_shim_that_does_not_serve_it_is_at_most_a_suspect(
    hosts: dict[str, Roots], line: str, mentioned: bool
) -> None:
    found = claim(hosts, "kata_persist", process(line))
    assert (found is not None) is mentioned
    if found is not None:
        assert (found.proved, found.stop_order, found.why) == (False, None, "names it in its arguments")


@pytest.mark.parametrize("verb", ["create", "run", "start", "restore"])
@pytest.mark.parametrize("name", [SID, CID], ids=["sandbox", "container"])
def test_A7_a_kata_runtime_that_builds_it_is_at_work_on_it(hosts: dict[str, Roots], verb: str, name: str) -> None:
    line = CREATE.replace(" create ", f" {verb} ")
    found = claim(hosts, "kata_store", process(f"{line} {name}"))
    assert found is not None
    assert (found.proved, found.why, found.stop_order) == (True, "is at work on it", None)
    assert "Wait" in found.remedy


@pytest.mark.parametrize("verb", ["delete", "kill", "state", "exec", "list"])
def test_A8_what_a_kata_runtime_does_otherwise_proves_nothing(hosts: dict[str, Roots], verb: str) -> None:
    found = claim(hosts, "kata_store", process(f"/usr/bin/kata-runtime {verb} {SID}"))
    assert found is not None and (found.proved, found.stop_order) == (False, None)
    assert claim(hosts, "kata_store", process(f"/usr/bin/kata-runtime {verb} {SID}0")) is None
    other = claim(hosts, "kata_store", process(f"/usr/bin/kata-runtime create --bundle {BUNDLE} other"))
    assert other is not None and not other.proved, "the bundle is named, and the container is another one"


@pytest.mark.parametrize(
    ("pids", "proved"),
    [
        ((4711,), True),
        ((4711, 1), True),
        ((4711, 2), False),
        ((4711, 2, 1), False),
        ((4711, 1, 1), False),
        (None, False),
    ],
    ids=["ours", "virtiofsd's child", "of a container", "two deep", "a child in a container", "unreadable"],
)
@pytest.mark.parametrize("case", ["virtiofsd 3.2 to 4.1", "qemu 3.x", "nydusd"])
def test_A10_the_same_path_in_another_pid_namespace_is_another_place(
    hosts: dict[str, Roots], case: str, pids: tuple[int, ...] | None, proved: bool
) -> None:
    """A Kata in a container has a /run/vc of its own; the child that virtiofsd puts aside is pid 1 of its namespace."""
    found = claim(hosts, "kata_persist", process(PROVED[case][1]), pids)
    assert found is not None
    assert (found.proved, found.stop_order is not None) == (proved, proved)


@pytest.mark.parametrize("pids", [(4711, 2), (4711, 2, 1), None])
@pytest.mark.parametrize("line", [SHIM, f"{CREATE} {SID}"], ids=["shim", "command"])
def test_A10_a_shim_or_command_in_a_container_is_another_hosts(
    hosts: dict[str, Roots], line: str, pids: tuple[int, ...] | None
) -> None:
    found = claim(hosts, "kata_persist", process(line), pids)
    assert found is not None and not found.proved


def test_R6_the_machine_of_a_factory_is_found_by_its_own_name(hosts: dict[str, Roots]) -> None:
    """/run/vc/vm/<sid> is a link to <vmid> then, and the processes know only that."""
    linked = READING._replace(aliases=frozenset({"vm-of-a-factory"}))
    for line in (
        "/usr/bin/qemu-system-x86_64 -pidfile /run/vc/vm/vm-of-a-factory/pid",
        "/usr/bin/virtiofsd --fd=3 --shared-dir=/run/vc/vm/vm-of-a-factory/shared",
    ):
        found = claim(hosts, "kata_persist", process(line), reading=linked)
        assert found is not None and found.proved
        assert claim(hosts, "kata_persist", process(line)) is None
    assert "vm-of-a-factory" in layout_of("kata_persist").tokens(hosts["kata_persist"], linked)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"cwd": BUNDLE}, f"works in {BUNDLE}"),
        ({"root": f"/srv/{SID}/rootfs"}, f"has as its root /srv/{SID}/rootfs"),
        ({"cgroups": (f"/kata_overhead/{SID}",)}, f"is in the cgroup /kata_overhead/{SID}, which carries its name"),
        (
            {"cgroups": (f"/kata-overhead.slice:runtime-rs:{SID}",)},
            f"is in the cgroup /kata-overhead.slice:runtime-rs:{SID}, which carries its name",
        ),
        (
            {"cgroups": (f"/kubepods.slice/cri-containerd-{CID}.scope",)},
            f"is in the cgroup /kubepods.slice/cri-containerd-{CID}.scope, which carries its name",
        ),
        ({"cgroups": (f"/vc/{SID}", "/x")}, f"is in the cgroup /vc/{SID}, which carries its name"),
        ({"cwd": f"/srv/{SID}0"}, ""),
        ({"cgroups": (f"/kata_overhead/{SID}0",)}, ""),
    ],
    ids=["cwd", "root", "overhead", "overhead rs", "container", "old", "other cwd", "other cgroup"],
)
def test_A7_where_a_process_is_may_name_it(hosts: dict[str, Roots], place: dict[str, Any], why: str) -> None:
    found = claim(hosts, "kata_persist", process("/usr/bin/payload", **place))
    assert (found.why if found is not None else "") == why
    assert found is None or (found.proved, found.stop_order) == (False, None)


def test_a_program_is_known_by_its_file_when_it_has_given_itself_a_title(hosts: dict[str, Roots]) -> None:
    line = f"machine --socket {VM}/clh-api.sock"
    found = claim(hosts, "kata_persist", process(line, exe="/opt/kata/bin/cloud-hypervisor"))
    assert found is not None and found.proved
    stranger = claim(hosts, "kata_persist", process(line, exe="/opt/bin/machine"))
    assert stranger is not None and not stranger.proved


def test_a_hidden_file_leaves_the_title_to_decide(hosts: dict[str, Roots]) -> None:
    found = claim(hosts, "kata_persist", process(f"cloud-hypervisor --api-socket {VM}/clh-api.sock", exe=None))
    assert found is not None and found.proved


def test_owners_are_told_and_stopped_in_their_order(hosts: dict[str, Roots]) -> None:
    """Whoever would act on its own when another one ends is stopped before that one."""
    lines = [PROVED[case][1] for case in ("virtiofsd 1.9", "container shim", "qemu 1.x", "proxy")]
    claims = [claim(hosts, "kata_store", process(line)) for line in (*lines, SHIM, f"vi {SID}")]
    found = [one for one in claims if one is not None]
    told = [one.process.program for one in sorted(found, key=lambda one: one.rank)]
    assert told == ["containerd-shim-kata-v2", "qemu-system-x86_64", "virtiofsd", "kata-proxy", "kata-shim", "vi"]
    ordered = sorted((one for one in found if one.stop_order is not None), key=lambda one: one.stop_order or 0)
    assert [one.process.program for one in ordered] == ["kata-shim", "kata-proxy", "qemu-system-x86_64", "virtiofsd"]


def test_A10_a_root_that_is_given_is_its_own_place(tmp_path: Path) -> None:
    """Processes of the host's usual directories do not own what lies in another one, and a shim names none at all."""
    layout = layout_of("kata_persist")
    rootless = tmp_path / "1000" / "run" / "vc"
    (rootless / "vm" / SID).mkdir(parents=True)
    (tmp_path / "link").symlink_to(rootless)
    with roots_of("kata_persist", Path("/"), run_root=rootless) as roots:
        for line, proved in (
            (f"{QEMU} -pidfile {rootless}/vm/{SID}/pid", True),
            (f"{QEMU} -pidfile {tmp_path}/link/vm/{SID}/pid", True),
            (f"{QEMU} -pidfile {rootless}/vm/../vm/./{SID}/pid", True),
            (f"{QEMU} -pidfile {VM}/pid", False),
            (SHIM, False),
            (f"{CREATE} {SID}", False),
        ):
            found = layout.claim(process(line), (4711,), roots, READING)
            assert found is not None and found.proved is proved, line


@pytest.mark.parametrize("where", ["cwd", "root"])
@pytest.mark.parametrize(("path", "proved"), [(VM, True), (f"{VM}/shared", True), (f"/srv{VM}", False)])
def test_A7_a_program_of_katas_that_stands_in_its_directory_is_its_own(
    hosts: dict[str, Roots], where: str, path: str, proved: bool
) -> None:
    found = claim(hosts, "kata_persist", process("/usr/libexec/virtiofsd --fd=3", **{where: path}))
    assert found is not None and found.proved is proved
