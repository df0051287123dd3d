# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Kata starts its programs: command line, working directory, sockets, pid file, jail. Contracts: virtiofsd.md and
the three of Kata; what they leave open (the VMMs' arguments) is from the sources of Kata 1.8, 3.2 and 4.1.

Each table gives the owners of one sandbox by the name that a test uses; every one of them alone makes it live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.lab.kata_documents import UUID
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Program

SHIM = "/usr/local/bin/containerd-shim-kata-v2"
QEMU = "/usr/bin/qemu-system-x86_64"
CONTAINERD = "/run/containerd/containerd.sock"
FIRECRACKER_ID = 32  # characters of the sandbox's id that it gets


class Names(NamedTuple):
    """The names of one sandbox, as its processes are told them. vm: its VM directory. share: its shared tree.

    state: its state directory. container: one of its containers, the sandbox's own one or another. token: of the
    container's process (Kata 1.x). bundle: of the sandbox's own container.
    """

    sandbox: str
    container: str
    state: str
    vm: str
    share: str
    bundle: str
    token: str
    run_root: str

    @property
    def short(self) -> str:
        return self.sandbox[:FIRECRACKER_ID]


def shim(names: Names) -> Program:
    """One serves the whole pod; its working directory is the bundle of the sandbox's own container."""
    words = ["-namespace", "k8s.io", "-address", CONTAINERD, "-publish-binary", "/usr/bin/containerd"]
    return Program(SHIM, [*words, "-id", names.sandbox], cwd=Path(names.bundle))


# -- Kata 1.6 to 1.8 -------------------------------------------------------------------------------------------------


def _store_qemu(names: Names) -> Program:
    words = ["-name", f"sandbox-{names.sandbox}", "-uuid", UUID]
    words += ["-machine", "pc,accel=kvm,kernel_irqchip,nvdimm", "-cpu", "host,pmu=off"]
    words += ["-qmp", f"unix:{names.vm}/qmp.sock,server,nowait", "-m", "2048M,slots=10,maxmem=16007M"]
    words += ["-device", "virtio-serial-pci,disable-modern=true,id=serial0,romfile="]
    words += ["-device", "virtconsole,chardev=charconsole0,id=console0"]
    words += ["-chardev", f"socket,id=charconsole0,path={names.vm}/console.sock,server,nowait"]
    words += ["-device", "virtserialport,chardev=charch0,id=channel0,name=agent.channel.0"]
    words += ["-chardev", f"socket,id=charch0,path={names.vm}/kata.sock,server,nowait"]
    words += ["-device", "virtio-9p-pci,disable-modern=true,fsdev=extra-9p-kataShared,mount_tag=kataShared,romfile="]
    words += ["-fsdev", f"local,id=extra-9p-kataShared,path={names.share},security_model=none"]
    words += ["-rtc", "base=utc,driftfix=slew", "-global", "kvm-pit.lost_tick_policy=discard", "-vga", "none"]
    words += ["-no-user-config", "-nodefaults", "-nographic", "-daemonize"]
    words += ["-kernel", "/usr/share/kata-containers/vmlinuz.container", "-append", "panic=1 console=hvc0 quiet"]
    words += ["-pidfile", f"{names.vm}/pid", "-smp", "1,cores=1,threads=1,sockets=2,maxcpus=2"]
    sockets = [Path(names.vm, name) for name in ("qmp.sock", "console.sock", "kata.sock")]
    return Program(QEMU, words, pid_file=Path(names.vm, "pid"), listens=sockets)


def _store_virtiofsd(names: Names) -> Program:
    words = [
        "-o",
        f"vhost_user_socket={names.vm}/vhost-fs.sock",
        "-o",
        f"source={names.share}",
        "-o",
        "cache=auto",
        "-f",
    ]
    return Program("/usr/bin/virtiofsd", words, listens=[Path(names.vm, "vhost-fs.sock")])


def _kata_proxy(names: Names) -> Program:
    socket = f"{names.state}/proxy.sock"
    words = ["-listen-socket", f"unix://{socket}", "-mux-socket", f"{names.vm}/kata.sock", "-sandbox", names.sandbox]
    return Program("/usr/libexec/kata-containers/kata-proxy", words, listens=[Path(socket)])


def _kata_shim(names: Names) -> Program:
    words = ["-agent", f"unix://{names.state}/proxy.sock", "-container", names.container, "-exec-id", names.token]
    return Program("/usr/libexec/kata-containers/kata-shim", words)


def _kata_runtime(names: Names) -> Program:
    """A command at work, as Docker gives it."""
    words = ["--root", "/var/run/docker/runtime-kata-runtime/moby", "--log", f"{names.bundle}/log.json"]
    words += ["--log-format", "json", "create", "--bundle", names.bundle]
    return Program("/usr/bin/kata-runtime", [*words, "--pid-file", f"{names.bundle}/init.pid", names.container])


def _store_firecracker(names: Names) -> Program:
    socket = f"{names.state}/firecracker.sock"
    return Program("/usr/bin/firecracker", ["--api-sock", socket], listens=[Path(socket)])


# -- Kata 1.11 to 4.x ------------------------------------------------------------------------------------------------


def _persist_qemu(names: Names) -> Program:
    words = ["-name", f"sandbox-{names.sandbox},debug-threads=on", "-uuid", UUID]
    words += ["-machine", "q35,accel=kvm,nvdimm=on", "-cpu", "host,pmu=off"]
    words += ["-qmp", "unix:fd=3,server=on,wait=off", "-m", "2048M,slots=10,maxmem=16007M"]
    words += ["-device", "virtio-serial-pci,disable-modern=false,id=serial0"]
    words += ["-device", "virtconsole,chardev=charconsole0,id=console0"]
    words += ["-chardev", f"socket,id=charconsole0,path={names.vm}/console.sock,server=on,wait=off"]
    words += ["-device", "vhost-vsock-pci,disable-modern=false,vhostfd=4,id=vsock-2557420117,guest-cid=2557420117"]
    words += ["-chardev", f"socket,id=char-6b2a1d3f,path={names.vm}/vhost-fs.sock"]
    words += ["-device", "vhost-user-fs-pci,chardev=char-6b2a1d3f,tag=kataShared,queue-size=1024"]
    words += ["-rtc", "base=utc,driftfix=slew,clock=host", "-vga", "none", "-no-user-config", "-nodefaults"]
    words += [
        "-nographic",
        "--no-reboot",
        "-object",
        "memory-backend-file,id=dimm1,size=2048M,mem-path=/dev/shm,share=on",
    ]
    words += ["-kernel", "/opt/kata/share/kata-containers/vmlinux-6.1.62", "-append", "panic=1 console=hvc0 quiet"]
    words += ["-pidfile", f"{names.vm}/pid", "-smp", "1,cores=1,threads=1,sockets=2,maxcpus=2"]
    return Program(
        QEMU,
        words,
        cwd=Path(names.bundle),
        pid_file=Path(names.vm, "pid"),
        receives=[Path(names.vm, "qmp.sock")],
        listens=[Path(names.vm, "console.sock")],
    )


def _persist_virtiofsd(names: Names) -> Program:
    words = ["--syslog", "--cache=auto", f"--shared-dir={names.share}/shared", "--fd=3"]
    socket = Path(names.vm, "vhost-fs.sock")
    return Program("/opt/kata/libexec/virtiofsd", words, cwd=Path(names.bundle), receives=[socket])


def _persist_old_virtiofsd(names: Names) -> Program:
    """Kata 2.2 to 3.1."""
    words = [
        "--syslog",
        "-o",
        "cache=auto",
        "-o",
        "no_posix_lock",
        "-o",
        f"source={names.share}/shared",
        "--fd=3",
        "-f",
    ]
    socket = Path(names.vm, "vhost-fs.sock")
    return Program("/opt/kata/libexec/kata-qemu/virtiofsd", words, cwd=Path(names.bundle), receives=[socket])


def _nydusd(names: Names) -> Program:
    words = ["virtiofs", "--log-level", "info", "--apisock", f"{names.vm}/nydusd-api.sock"]
    sockets = [Path(names.vm, name) for name in ("nydusd-api.sock", "vhost-fs.sock")]
    return Program("/usr/local/bin/nydusd", [*words, "--sock", f"{names.vm}/vhost-fs.sock"], listens=sockets)


def _persist_cloud_hypervisor(names: Names) -> Program:
    sockets = [Path(names.vm, name) for name in ("clh-api.sock", "clh.sock")]
    words = ["--api-socket", str(sockets[0])]
    return Program("/opt/kata/bin/cloud-hypervisor", words, cwd=Path(names.bundle), listens=sockets)


def _persist_firecracker(names: Names) -> Program:
    """Without a jail. Kata gives it the first 32 characters of the id."""
    jail = Path(names.run_root, "firecracker", names.short, "root")
    words = ["--api-sock", f"{jail}/run/firecracker.socket", "--config-file", f"{jail.parent}/fcConfig.json"]
    sockets = [jail / "run/firecracker.socket", jail / "kata.hvsock"]
    return Program("/opt/kata/bin/firecracker", words, cwd=Path(names.bundle), listens=sockets)


def _persist_jailed_firecracker(names: Names) -> Program:
    """What the jailer makes of itself: a new root, and only the short id in the arguments."""
    jail = Path(names.run_root, "firecracker", names.short, "root")
    words = [
        "--id",
        names.short,
        "--start-time-us",
        "94679",
        "--start-time-cpu-us",
        "0",
        "--config-file",
        "fcConfig.json",
    ]
    sockets = [jail / "run/firecracker.socket", jail / "kata.hvsock"]
    pid_file = jail / "firecracker.pid"
    return Program("/firecracker", words, argv0="firecracker", root=jail, pid_file=pid_file, listens=sockets)


# -- runtime-rs ------------------------------------------------------------------------------------------------------


def _rs_qemu(names: Names) -> Program:
    """No pid file. Its qmp.sock is bound by a relative name, in the shim's working directory: the bundle."""
    jail = f"{names.state}/root"
    words = ["-name", f"sandbox-{names.sandbox}", "-kernel", "/opt/kata/share/kata-containers/vmlinux.container"]
    words += ["-append", "systemd.unit=kata-containers.target quiet", "-smp", "1,maxcpus=2"]
    words += ["-machine", "q35,accel=kvm,memory-backend=entire-guest-memory-share", "-cpu", "host,pmu=off"]
    words += ["-m", "2048M", "-qmp", "unix:fd=3,server=on,wait=off", "-rtc", "base=utc,clock=host,driftfix=slew"]
    words += ["-device", "vhost-vsock-pci,vhostfd=4,guest-cid=2557420117"]
    words += ["-chardev", f"socket,id=virtiofsd-sock,path={jail}/virtiofsd.sock"]
    words += ["-device", "vhost-user-fs-pci,chardev=virtiofsd-sock,tag=kataShared,queue-size=1024"]
    words += ["-chardev", f"socket,id=charconsole0,server=on,wait=off,path={jail}/console.sock"]
    words += ["-vga", "none", "-no-user-config", "-nodefaults", "-nographic", "-no-reboot"]
    return Program(
        "/opt/kata/bin/qemu-system-x86_64",
        words,
        cwd=Path(names.bundle),
        receives=[Path(names.bundle, "qmp.sock")],
        listens=[Path(jail, "console.sock")],
    )


def _rs_virtiofsd(names: Names) -> Program:
    socket = Path(names.state, "root/virtiofsd.sock")
    words = ["--socket-path", str(socket), "--shared-dir", f"{names.share}/ro", "--cache", "auto"]
    words += ["--thread-pool-size=1", "-o", "announce_submounts"]
    lock = Path(f"{socket}.pid")
    bundle = Path(names.bundle)
    return Program("/opt/kata/libexec/virtiofsd", words, cwd=bundle, listens=[socket], locks=[lock], pid_file=lock)


def _rs_rootless_virtiofsd(names: Names) -> Program:
    """The socket's name alone, with its directory as working directory: only the shared directory carries the id."""
    folder = Path(names.state, "root")
    words = ["--socket-path", "virtiofsd.sock", "--shared-dir", f"{names.share}/ro", "--cache", "auto"]
    lock = folder / "virtiofsd.sock.pid"
    sockets = [folder / "virtiofsd.sock"]
    return Program("/opt/kata/libexec/virtiofsd", words, cwd=folder, listens=sockets, locks=[lock], pid_file=lock)


def _rs_cloud_hypervisor(names: Names) -> Program:
    sockets = [Path(names.state, name) for name in ("ch-api.sock", "ch-vm.sock")]
    return Program("/opt/kata/bin/cloud-hypervisor", ["--api-socket", str(sockets[0])], listens=sockets)


def _rs_firecracker(names: Names) -> Program:
    sockets = [Path(names.state, name) for name in ("run/fc.sock", "kata.hvsock")]
    words = ["--api-sock", str(sockets[0])]
    return Program("/opt/kata/bin/firecracker", words, cwd=Path(names.bundle), listens=sockets)


def _rs_jailed_firecracker(names: Names) -> Program:
    jail = Path(names.run_root, "firecracker", names.sandbox, "root")
    words = [
        "--id",
        names.sandbox,
        "--start-time-us",
        "94679",
        "--start-time-cpu-us",
        "0",
        "--api-sock",
        "/run/fc.sock",
    ]
    sockets = [jail / "run/fc.sock", jail / "kata.hvsock"]
    return Program("/firecracker", words, argv0="firecracker", root=jail, listens=sockets)


Starter = Callable[[Names], Program]
OWNERS: dict[str, dict[str, Starter]] = {
    "kata_store": {
        "shim": shim,
        "runtime": _kata_runtime,
        "proxy": _kata_proxy,
        "container shim": _kata_shim,
        "qemu": _store_qemu,
        "virtiofsd": _store_virtiofsd,
        "firecracker": _store_firecracker,
    },
    "kata_persist": {
        "shim": shim,
        "qemu": _persist_qemu,
        "cloud hypervisor": _persist_cloud_hypervisor,
        "firecracker": _persist_firecracker,
        "jailed firecracker": _persist_jailed_firecracker,
        "virtiofsd": _persist_virtiofsd,
        "old virtiofsd": _persist_old_virtiofsd,
        "nydusd": _nydusd,
    },
    "kata_rs": {
        "shim": shim,
        "qemu": _rs_qemu,
        "cloud hypervisor": _rs_cloud_hypervisor,
        "firecracker": _rs_firecracker,
        "jailed firecracker": _rs_jailed_firecracker,
        "virtiofsd": _rs_virtiofsd,
        "rootless virtiofsd": _rs_rootless_virtiofsd,
    },
}


def for_real_qemu(program: Program) -> Program:
    """The same command line as far as a QEMU without KVM, firmware, kernel and vhost accepts it."""
    kept = [("-accel", "tcg"), ("-machine", "none"), ("-S", "")]
    wanted = ("-name", "-uuid", "-qmp", "-pidfile", "-rtc", "-vga", "-chardev")
    for option, value in zip(program.arguments, program.arguments[1:]):
        if option in wanted and "virtiofsd.sock" not in value and "vhost-fs.sock" not in value:
            kept.append((option, value))
    words = [word for pair in kept for word in pair if word]
    return replace(program, arguments=[*words, "-no-user-config", "-nodefaults", "-nographic"])


# -- strangers: they carry the name, or something like it, and own nothing -------------------------------------------


def _editor(names: Names) -> Program:
    return Program("/usr/bin/vi", [f"/root/notes about {names.sandbox}", names.sandbox])


def _libvirt_virtiofsd(names: Names) -> Program:
    """Foreign (safety.md E2), although a directory of libvirt's machine has the sandbox's name."""
    return Program("/usr/libexec/virtiofsd", ["--fd=31", "-o", f"source=/srv/{names.sandbox}/data,xattr"])


def _longer_id(names: Names) -> Program:
    """The daemon of another sandbox, whose id begins with this one's (A8)."""
    share = f"{names.share}-2"
    return Program(
        "/opt/kata/libexec/virtiofsd", ["--syslog", "--cache=auto", f"--shared-dir={share}/shared", "--fd=3"]
    )


def _other_shim(names: Names) -> Program:
    return shim(names._replace(sandbox=f"{names.sandbox}-2", bundle="/"))


STRANGERS: dict[str, Starter] = {
    "editor": _editor,
    "libvirt's virtiofsd": _libvirt_virtiofsd,
    "virtiofsd of a longer id": _longer_id,
    "shim of a longer id": _other_shim,
}
