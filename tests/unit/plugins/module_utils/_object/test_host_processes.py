# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which processes are of a runtime, whose they are, and which of them nobody needs (contracts, safety.md E2)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_processes
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Known
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_processes import (
    ProcessCandidate,
    engines,
    find,
    role_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import doubts_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import Clock
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import judge
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    process,
    view_of,
)

VM, SHARE = "/run/vc/vm/web-1", "/run/kata-containers/shared/sandboxes/web-1"
LONG = "0123456789abcdef" * 4
CUT = LONG[:32]
SHIM = "/usr/local/bin/containerd-shim-kata-v2 -namespace k8s.io -address /run/containerd/containerd.sock"
QEMU = f"/usr/bin/qemu-system-x86_64 -name sandbox-web-1 -qmp unix:{VM}/qmp.sock,server,nowait -pidfile {VM}/pid"
VIRTIOFSD = f"/opt/kata/libexec/virtiofsd --syslog --cache=auto --shared-dir={SHARE}/shared --fd=3"
NYDUSD = f"/usr/local/bin/nydusd virtiofs --log-level info --apisock {VM}/nydusd-api.sock --sock {VM}/vhost-fs.sock"
RUNSC = "runsc-sandbox --root=/run --debug=false boot --bundle=/b web-1"


@pytest.fixture(autouse=True)
def no_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has."""
    monkeypatch.setattr(host_processes, "_FACTORY", ("/nowhere/template",))


# What role_of gives: "role id", or nothing.
ROLES = {
    "shim of Kata": (f"{SHIM} -publish-binary /usr/bin/containerd -id web-1", "shim web-1"),
    "shim of gVisor": ("containerd-shim-runsc-v1 -namespace k8s.io -id web-1 -address /x.sock", "shim web-1"),
    "shim of runc": ("/usr/bin/containerd-shim-runc-v2 -namespace moby -id=web-1", "shim web-1"),
    "shim that deletes": (f"{SHIM} -id web-1 -bundle /b delete", ""),
    "shim that starts": (f"{SHIM} -id web-1 start", "shim web-1"),
    "shim without an id": ("/usr/bin/containerd-shim-runc-v2 -v", ""),
    "shim of v1": ("containerd-shim -namespace moby -workdir /var/lib/x/web-1 -address /x.sock", ""),
    "runsc-sandbox": (RUNSC, "runsc-sandbox web-1"),
    "runsc-sandbox without arguments": ("runsc-sandbox", ""),
    "runsc-gofer": ("runsc-gofer --root=/run/runsc gofer --bundle /b", ""),
    "runsc at work": ("runsc --root /run/runsc delete web-1", ""),
    "virtiofsd of 1.7": (f"/usr/bin/virtiofsd -o vhost_user_socket={VM}/x.sock -o source={SHARE}", "virtiofsd web-1"),
    "virtiofsd of 1.9": (f"/usr/bin/virtiofsd-x86_64 --fd=3 -o source={SHARE} -o cache=auto -d", "virtiofsd web-1"),
    "virtiofsd of 2.5": (
        f"/opt/virtiofsd --syslog -o cache=auto -o no_posix_lock -o source={SHARE}/shared --fd=3 -f",
        "virtiofsd web-1",
    ),
    "virtiofsd of 3.2": (VIRTIOFSD, "virtiofsd web-1"),
    "virtiofsd of runtime-rs": (
        f"/opt/virtiofsd --socket-path /run/kata/web-1/root/virtiofsd.sock --shared-dir {SHARE}/ro --cache auto",
        "virtiofsd web-1",
    ),
    "virtiofsd of a rootless runtime-rs": (
        f"/opt/virtiofsd --socket-path virtiofsd.sock --shared-dir {SHARE}/ro",
        "virtiofsd web-1",
    ),
    "virtiofsd of a rootless one": (
        "/opt/virtiofsd --shared-dir=/run/user/7/kata-containers/shared/sandboxes/web-1/shared --fd=3",
        "virtiofsd web-1",
    ),
    "virtiofsd known by its socket alone": (
        f"/opt/virtiofsd --socket-path {VM}/virtiofsd.sock --shared-dir /srv",
        "virtiofsd web-1",
    ),
    "virtiofsd of libvirt": ("/usr/libexec/virtiofsd --fd=31 -o source=/srv/web-1/data,xattr", "virtiofsd "),
    "virtiofsd of Kata in another place": ("/opt/virtiofsd --shared-dir=/srv/run/vc/vm/web-1/x --fd=3", "virtiofsd "),
    "qemu of 1.8 to 3": (QEMU, "vmm web-1"),
    "qemu of runtime-rs": (
        "/opt/qemu-system-x86_64 -name sandbox-web-1 -chardev socket,id=c,path=/run/kata/web-1/root/console.sock",
        "vmm web-1",
    ),
    "qemu with threads": (
        f"/usr/bin/qemu-system-x86_64 -name sandbox-web-1,debug-threads=on -pidfile {VM}/pid",
        "vmm web-1",
    ),
    "qemu of libvirt": ("/usr/bin/qemu-system-x86_64 -name guest=sandbox-web-1 -pidfile /run/libvirt/x.pid", "vmm "),
    "qemu by hand with Kata's name": ("/usr/bin/qemu-system-x86_64 -name sandbox-web-1 -m 1G", "vmm "),
    "qemu with a path that looks like Kata's": (f"/usr/bin/qemu-system-x86_64 -pidfile /srv{VM}/pid", "vmm "),
    "cloud hypervisor": (f"/opt/kata/bin/cloud-hypervisor --api-socket {VM}/clh-api.sock", "vmm web-1"),
    "cloud hypervisor of runtime-rs": ("/opt/cloud-hypervisor --api-socket /run/kata/web-1/ch-api.sock", "vmm web-1"),
    "A8 firecracker": (
        f"/opt/firecracker --api-sock /run/vc/firecracker/{CUT}/root/run/firecracker.socket",
        f"vmm {CUT}",
    ),
    "firecracker of runtime-rs": ("/opt/firecracker --api-sock /run/kata/web-1/run/fc.sock", "vmm web-1"),
    "firecracker in a jail of runtime-rs": (
        "/opt/firecracker --api-sock /run/kata/firecracker/web-1/root/run/fc.sock",
        "vmm web-1",
    ),
    "a sandbox that is called firecracker": (
        "/opt/cloud-hypervisor --api-socket /run/kata/firecracker/ch-api.sock",
        "vmm firecracker",
    ),
    "jailed firecracker": (f"firecracker --id {CUT} --start-time-us 94679 --config-file fcConfig.json", "vmm "),
    "stratovirt": (f"/usr/bin/stratovirt -name sandbox-web-1 -qmp unix:{VM}/qmp.sock", "vmm web-1"),
    "nydusd": (NYDUSD, "nydusd web-1"),
    "nydusd of a snapshotter": ("/usr/bin/nydusd fuse --apisock /run/containerd-nydus/x.sock", ""),
    "kata-runtime": ("/usr/bin/kata-runtime kill web-1", ""),
    "an editor": (f"vi {SHARE}/shared", ""),
    "containerd": ("/usr/bin/containerd", ""),
    "qemu-img": (f"/usr/bin/qemu-img info {VM}/x", ""),
}


@pytest.mark.parametrize(("command", "expected"), ROLES.values(), ids=ROLES)
def test_role(command: str, expected: str) -> None:
    role = role_of(process(command))
    assert (f"{role.role} {role.sandbox_id}" if role else "") == expected


def test_a_program_that_has_given_itself_a_title_is_known_by_its_file() -> None:
    role = role_of(process(VIRTIOFSD.replace("/opt/kata/libexec/virtiofsd", "fs"), exe="/opt/kata/libexec/virtiofsd"))
    assert role is not None and (role.role, role.sandbox_id) == ("virtiofsd", "web-1")


def verdict(one: Process, *others: Process, known: tuple[str, ...] = (), problem: str = "", **nested: Any) -> str:
    """Of a process beside others: its verdict and the first reason, or foreign and whose it is."""
    role = role_of(one)
    assert role is not None
    candidate = ProcessCandidate(one, role, lambda _view: Known(frozenset(known), (problem,) if problem else ()))
    if candidate.foreign():
        return f"foreign: {candidate.foreign()}"
    found = judge(candidate.evidence(view_of(one, *others, **nested)))
    return f"{found.kind}: {found.reasons[0]}"


QEMU_SHORT = process(f"/opt/firecracker --api-sock /run/vc/firecracker/{CUT}/root/run/firecracker.socket")
UNIT = ("/system.slice/shares.service",)
VERDICTS: dict[str, tuple[Process, tuple[Process, ...], dict[str, Any], str]] = {
    "E2 nothing knows it": (process(QEMU), (), {}, "leftover: nothing on disk knows sandbox web-1"),
    "E2 one that serves with it is a leftover too": (process(QEMU), (process(VIRTIOFSD, 8),), {}, "leftover"),
    "E2 its shim lives": (process(QEMU), (process(f"{SHIM} -id web-1", 8),), {}, "live: containerd-shim-kata-v2"),
    "E2 a shim is its parent": (process(QEMU, ppid=8), (process(f"{SHIM} -id pod", 8),), {}, "live"),
    "E2 a shim at its delete": (process(QEMU), (process(f"{SHIM} -id web-1 delete", 8),), {}, "live"),
    "E2 the shim of another": (process(QEMU), (process(f"{SHIM} -id web-10", 8),), {}, "leftover"),
    "E2 parent 1 proves nothing": (process(QEMU, ppid=1), (process(f"{SHIM} -id web-1", 8),), {}, "live"),
    "E2 Podman's monitor": (process(RUNSC), (process("/usr/bin/conmon -c web-1 -r runsc", 8),), {}, "live: conmon"),
    "E2 a command is at work": (process(RUNSC), (process("runsc --root /x delete web-1", 8),), {}, "unknown: runsc"),
    "A7 somebody names it": (process(QEMU), (process("tail -f /var/log/web-1/log", 8),), {}, "leftover"),
    "A7 an engine is told to do something with it": (process(QEMU), (process("crictl rmp web-1", 8),), {}, "unknown"),
    "A8 somebody names a longer one": (process(QEMU), (process("tail /var/log/web-10", 8),), {}, "leftover"),
    "A1 its sandbox is on disk": (process(QEMU), (), {"known": ("web-1",)}, "live: sandbox web-1"),
    "A8 a longer one is on disk": (process(QEMU), (), {"known": ("web-10",)}, "leftover"),
    "A8 firecracker's is on disk": (QEMU_SHORT, (), {"known": (LONG,)}, f"live: sandbox {CUT}"),
    "A8 firecracker's shim": (QEMU_SHORT, (process(f"{SHIM} -id {LONG}", 8),), {}, "live: containerd-shim"),
    "A8 firecracker's is gone": (QEMU_SHORT, (), {"known": ("f" * 64,)}, "leftover"),
    "A1 not all of the disk was seen": (process(QEMU), (), {"problem": "x cannot be listed"}, "unknown: x cannot"),
    "A1 it hides something": (process(QEMU, complete=False), (), {}, "unknown: what it is cannot be read"),
    "E2 a shim is never a leftover": (process(f"{SHIM} -id web-1"), (), {}, "unknown: it may be about to begin"),
    "E2 a shim whose machine is left": (process(f"{SHIM} -id web-1"), (process(QEMU, 8),), {}, "unknown"),
    "E2 two names and one of them known": (
        process(f"/opt/virtiofsd --socket-path /run/vc/vm/machine/x.sock --shared-dir {SHARE}"),
        (),
        {"known": ("machine",)},
        "live: sandbox machine",
    ),
    "A10 in a container": (process(QEMU), (), {"nested": {7: (7, 70)}}, "unknown: it was started in a container"),
    "A10 deep in containers": (process(RUNSC), (), {"nested": {7: (7, 70, 1)}}, "unknown: it was started in a"),
    "A10 in a namespace of its own": (process(RUNSC), (), {"nested": {7: (7, 1)}}, "leftover"),
    "A10 its namespace cannot be read": (process(QEMU), (), {"nested": {7: None}}, "unknown"),
    "A10 its root cannot be found": (process(RUNSC.replace("/run", "/nowhere")), (), {}, "unknown: its root directory"),
    "A10 its root is relative": (process(RUNSC.replace("/run", "run")), (), {}, "unknown: its root directory"),
    "A10 without a root": (process("runsc-sandbox boot web-1"), (), {}, "unknown: its root directory"),
    "A10 it has another root directory": (process(RUNSC, root="/srv"), (), {}, "unknown: its root directory"),
    "R10 V7 a nydusd that was never recorded": (process(NYDUSD), (), {}, "leftover: nothing on disk knows sandbox"),
    "R10 V7 its shim lives": (process(NYDUSD), (process(f"{SHIM} -id web-1", 8),), {}, "live: containerd-shim-kata-v2"),
    "E2 a nydusd of a unit": (process(NYDUSD, cgroups=UNIT), (), {}, "foreign: it belongs to shares.service"),
    "E2 of libvirt": (
        process("/usr/libexec/virtiofsd --fd=31 -o source=/srv", cgroups=("/machine.slice/x.scope",)),
        (),
        {},
        "foreign: it belongs to libvirt",
    ),
    "E2 of KubeVirt": (process("/usr/libexec/virtiofsd --socket-path=/var/run/kubevirt/x"), (), {}, "foreign: it bel"),
    "E2 of Incus": (process("/opt/virtiofsd --shared-dir=/var/lib/incus/x"), (), {}, "foreign: it belongs to Incus"),
    "E2 of a unit": (process("/opt/virtiofsd --shared-dir=/srv", cgroups=UNIT), (), {}, "foreign: it belongs to"),
    "E2 of a unit, for a sandbox": (process(VIRTIOFSD, cgroups=UNIT), (), {}, "foreign: it belongs to shares.service"),
    "E2 of containerd's unit": (process(VIRTIOFSD, cgroups=("/system.slice/containerd.service",)), (), {}, "leftover"),
    "E2 of nobody in particular": (process("/usr/bin/qemu-system-x86_64 -m 1G"), (), {}, "foreign: it names nothing"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "others", "more", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_verdict(one: Process, others: tuple[Process, ...], more: dict[str, Any], expected: str) -> None:
    assert verdict(one, *others, **more).startswith(expected)


def test_D5_a_machine_of_a_factory_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_processes, "_FACTORY", (str(tmp_path / "template"),))
    assert verdict(process(QEMU)).startswith("leftover")
    (tmp_path / "template").mkdir()
    assert verdict(process(QEMU)).startswith(f"unknown: {tmp_path}/template is there")


def test_A10_one_whose_root_is_not_looked_through_is_kept_by_what_is_in_it(tmp_path: Path) -> None:
    sandbox = process(RUNSC.replace("/run", str(tmp_path)))
    assert verdict(sandbox).startswith("leftover")
    (tmp_path / "web-1_sandbox:web-1.state").touch()
    assert verdict(sandbox).startswith(f"unknown: there are files of it in {tmp_path}")


def test_A9_a_dead_shim_keeps_nothing() -> None:
    shim = process(f"{SHIM} -id web-1", 8, dead=True, argv=())
    assert verdict(process(QEMU, ppid=8), shim).startswith("leftover")


def found(*processes: Process, own: tuple[int, ...] = (), known: tuple[str, ...] = ()) -> list[int]:
    """The pids of the candidates."""
    return [one.process.pid for one in find(view_of(*processes), own, lambda _view: Known(frozenset(known)))]


def test_only_what_nothing_accounts_for_is_found() -> None:
    others = [process("/usr/bin/vi web-1", 20), process(QEMU, 21, dead=True), process(RUNSC, 22)]
    assert found(process(QEMU), process(VIRTIOFSD, 8), *others) == [7, 8, 22]
    assert found(process(QEMU), process(VIRTIOFSD, 8), own=(8,)) == [7]
    assert found(process(QEMU), known=("web-1",)) == []
    assert found(QEMU_SHORT, known=(LONG,)) == []


def test_virtiofsds_second_process_ends_with_the_first() -> None:
    assert found(process(VIRTIOFSD, 7), process(VIRTIOFSD, 8, ppid=7)) == [7]


@pytest.mark.parametrize("program", ["containerd", "dockerd", "crio", "kubelet", "k3s", "rke2", "kubelite"])
def test_A3_engines(program: str) -> None:
    assert [text.split(" ")[0] for text in engines(view_of(process(f"/usr/bin/{program}")))] == [program]
    assert engines(view_of(process(f"/usr/bin/{program}", dead=True), process(f"/usr/bin/{program}-shim x", 8))) == []


def test_a_young_process_has_an_age_and_a_key_without_files() -> None:
    role = role_of(process(QEMU))
    assert role is not None
    one = ProcessCandidate(process(QEMU), role, lambda _view: Known(frozenset()))
    assert one.changed and one.key == ("process", "", "", "web-1", "7") and one.identity == {"pid": 7, "start": 100}
    assert one.names == {"web-1"} and one.paths == []


@pytest.mark.parametrize(("told", "kept"), [(CUT, True), (LONG, True), (CUT[:31], False), (f"{CUT}0", False)])
def test_A8_firecrackers_part_of_a_listed_id_is_listed(tmp_path: Path, told: str, kept: bool) -> None:
    (tmp_path / f"overlay-containers/{LONG}").mkdir(parents=True)
    machine = process(f"/opt/firecracker --id {told} --api-sock /run/vc/firecracker/{told}/root/fc.sock", 8)
    role = role_of(machine)
    assert role is not None and role.sandbox_id == told
    one = ProcessCandidate(machine, role, lambda _view: Known(frozenset()))
    view = view_of(machine, process(f"/usr/bin/crio --root {tmp_path}"))
    said = [text for text in doubts_of(one, view, "/", Clock(time.time(), 0, 0)) if "lists 0123" in text]
    assert said == ([f"CRI-O or Podman lists {LONG}"] if kept else [])


@pytest.mark.parametrize(("now", "there"), [({}, True), ({"start_ticks": 101}, False), ({"dead": True}, False)])
def test_E1_another_process_of_its_number_is_not_the_one_that_was_seen(
    monkeypatch: pytest.MonkeyPatch, now: dict[str, Any], there: bool
) -> None:
    seen = process(QEMU, start_ticks=100)
    (candidate,) = find(view_of(seen), frozenset(), lambda _view: Known(frozenset(), ()))
    monkeypatch.setattr(host_processes, "read", lambda _pid: seen._replace(**now))
    assert candidate.read(view_of(seen)) is there


def test_A1_a_process_that_hides_what_it_is_now_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = process(QEMU)
    (candidate,) = find(view_of(seen), frozenset(), lambda _view: Known(frozenset(), ()))
    monkeypatch.setattr(host_processes, "read", lambda _pid: seen._replace(state="?", start_ticks=0))
    with pytest.raises(Unreadable, match="what it is now cannot be read"):
        candidate.read(view_of(seen))
