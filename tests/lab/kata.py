# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kata sandboxes of three generations, as the runtimes leave them, with all that belongs to them.

    box = sandbox("kata_persist", "lab-web-1", containers=["lab-web-1", "lab-app-1"])
    box.write()                              # the state tree, byte for byte as Kata writes it
    box.make_vm()                            # its VM directory
    shared = box.make_share()                # its shared tree, with real mounts and data behind them
    qemu = crowd.start(box.program("qemu"))  # a process that owns it

No Kata package exists for Debian: documents, trees and command lines are made from the contracts, everything that they
name is real. Mounts are made only in a host of their own (own_host.py); the rest also works below a scratch folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.tests.lab import kata_documents as documents
from ansible_collections.sandboxed.containers.tests.lab import mounting
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.kata_programs import FIRECRACKER_ID, OWNERS, STRANGERS, Names
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Program
from ansible_collections.sandboxed.containers.tests.lab.trees import directory, file, leave_socket, put_data, remove

TASKS = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
SHARED = "/run/kata-containers/shared"
HEX = "0123456789abcdef"  # where Kata has random digits in a name


class Places(NamedTuple):
    """Where things are. base: what stands before each default path on this machine; told: before it in documents and
    arguments ("" when the tree is a whole host's, seen through host_root)."""

    base: Path = Path("/")
    told: str | None = None

    def on(self, path: str) -> Path:
        """Where a default path is on this machine."""
        return self.base / path.lstrip("/")

    def name(self, path: str) -> str:
        """How the runtime calls it."""
        prefix = str(self.base).rstrip("/") if self.told is None else self.told.rstrip("/")
        return prefix + path


class Shared(NamedTuple):
    """The shared tree's mounts and what lies behind them. data: directories that must never change."""

    data: tuple[Path, ...]
    mounts: tuple[Path, ...]

    def checksum(self) -> str:
        return mounting.checksum(*self.data)


class Sandbox(ABC):
    """One sandbox. containers: with the sandbox's own one, which has its name, unless that is left out on purpose."""

    layout: str
    run_root: str
    vm_root: str

    def __init__(self, sandbox_id: str, containers: Sequence[str], facts: Facts, places: Places) -> None:
        self.id = sandbox_id
        self.containers = tuple(containers)
        self.facts = facts
        self.places = places

    # where it is

    @property
    @abstractmethod
    def state_dir(self) -> Path:
        """The directory that makes the sandbox exist."""

    @property
    def trees(self) -> list[Path]:
        """The directories of its state."""
        return [self.state_dir]

    @property
    def vm_dir(self) -> Path:
        """The VM directory that is the sandbox's by name; with a factory a link."""
        return self.places.on(f"{self.vm_root}/{self.id}")

    @property
    def share_dir(self) -> Path:
        return self.places.on(f"{SHARED}/sandboxes/{self.id}")

    @property
    def initdata(self) -> Path:
        return self.places.on(f"{SHARED}/initdata/{self.id}")

    @property
    def firecracker_dir(self) -> Path:
        return self.places.on(f"{self.run_root}/firecracker/{self.id[:FIRECRACKER_ID]}")

    def bundle(self, container_id: str) -> Path:
        return self.places.on(f"{TASKS}/{container_id}")

    @property
    def options(self) -> dict[str, Any]:
        """The modules' options that lead to it; none but the layout where the roots are the default ones."""
        chosen: dict[str, Any] = {"layout": self.layout}
        if self.places.base != Path("/"):
            chosen["run_root"] = str(self.places.on(self.run_root))
        return chosen

    # what it consists of

    @abstractmethod
    def write(self) -> None:
        """Make the state, with the modes that the runtime's own code gives (umask 022)."""

    def names(self, container_id: str = "") -> Names:
        """What its processes are told."""
        vm = self.facts.vm_id or self.id
        return Names(
            sandbox=self.id,
            container=container_id or self.id,
            state=self.places.name("/" + str(self.state_dir.relative_to(self.places.base))),
            vm=self.places.name(f"{self.vm_root}/{vm}"),
            share=self.places.name(f"{SHARED}/sandboxes/{self.id}"),
            bundle=self.places.name(f"{TASKS}/{self.id}"),
            token=self.facts.token,
            run_root=self.places.name(self.run_root),
        )

    def program(self, kind: str, container_id: str = "") -> Program:
        """An owner (OWNERS) or a stranger (STRANGERS), ready to be started: the directories that it needs are made."""
        names = self.names(container_id)
        if self.facts.vm_id and kind in _OF_THE_MACHINE:  # a factory's machine knows its own name alone
            machine = self.facts.vm_id
            share = f"{self.vm_root}/{machine}" + ("/shared" if self.layout == "kata_store" else "")
            names = names._replace(sandbox=machine, share=self.places.name(share))
        found = OWNERS[self.layout].get(kind) or STRANGERS[kind]
        program = found(names)
        for path in (*program.sockets, *program.locks, *([program.pid_file] if program.pid_file else [])):
            directory(path.parent, 0o750)
        if str(program.cwd) != "/":
            program.cwd.mkdir(parents=True, exist_ok=True)
        return program

    def make_bundles(self) -> None:
        """The containerd bundle of each container: its config.json and a rootfs directory."""
        for one in self.containers:
            bundle = self.bundle(one)
            directory(bundle, 0o711)
            (bundle / "rootfs").mkdir(exist_ok=True)
            (bundle / "config.json").write_text("{}", encoding="utf-8")

    def engine_cleans_up(self) -> None:
        """What containerd does within a second of its shim's end: the bundles go, and with them their mounts."""
        for one in self.containers:
            rootfs = self.bundle(one) / "rootfs"
            if str(rootfs) in mounting.below(rootfs):
                mounting.unmount(rootfs)
            if self.bundle(one).exists():
                remove(self.bundle(one))

    def make_vm(self) -> None:
        """The VM directory, with the sockets and the pid file that a dead VMM leaves."""
        directory(self.vm_dir.parent, 0o750)
        target = self.vm_dir
        if self.facts.vm_id:
            target = self.vm_dir.parent / self.facts.vm_id
            self.vm_dir.symlink_to(self.places.name(f"{self.vm_root}/{self.facts.vm_id}"))
        directory(target, 0o750)
        for name in _VM_FILES.get(self.facts.hypervisor, ()):
            leave_socket(target / name)
        if self.facts.hypervisor == "qemu":
            (target / "pid").write_text(f"{self.facts.vmm_pid or 4711}\n", encoding="ascii")

    def make_initdata(self) -> None:
        directory(self.initdata, 0o750)
        (self.initdata / "data.img").write_bytes(b"initdata" + bytes(512))

    def make_share(self) -> Shared:
        """The shared tree with each container's root file system (an overlay), a volume and a file, all mounted."""
        share, data, mounts = self._prepare_share(), [], []
        for one in self.containers:
            volume = self.places.on(f"/var/lib/data/{self.id}/{one}")
            put_data(volume)
            layers = self.places.on(f"/var/lib/layers/{self.id}/{one}")
            put_data(layers / "lower")
            bundle = self.bundle(one)
            mounting.overlay(bundle / "rootfs", layers / "lower", layers / "upper")
            (bundle / "rootfs" / "written").write_text("by the container", encoding="utf-8")
            wanted = [
                (bundle / "rootfs", self._rootfs_target(share, one)),
                (volume, share / f"{one}-{HEX}-data"),
                (volume / "file", share / f"{one}-{HEX}-hosts"),
            ]
            for source, target in wanted:
                mounting.bind(source, target, self._propagation)
            mounts += [target for _source, target in wanted]
            data += [volume, layers / "lower", layers / "upper" / "fs"]
        return Shared(tuple(data), tuple(mounts))

    _propagation = "private"

    @abstractmethod
    def _prepare_share(self) -> Path:
        """Make the tree itself; the directory that mounts are made in."""

    def _rootfs_target(self, share: Path, container_id: str) -> Path:
        return share / container_id / "rootfs"


class StoreSandbox(Sandbox):
    """Kata 1.6 to 1.8: a configuration tree below /var/lib, a state tree below /run (kata-store.md)."""

    layout, run_root, vm_root = "kata_store", "/run/vc", "/run/vc/vm"
    config_root = "/var/lib/vc"

    @property
    def state_dir(self) -> Path:
        return self.places.on(f"{self.run_root}/sbs/{self.id}")

    @property
    def config_dir(self) -> Path:
        return self.places.on(f"{self.config_root}/sbs/{self.id}")

    @property
    def trees(self) -> list[Path]:
        return [self.config_dir, self.state_dir]

    @property
    def options(self) -> dict[str, Any]:
        chosen = super().options
        if "run_root" in chosen:
            chosen["config_root"] = str(self.places.on(self.config_root))
        return chosen

    def write(self) -> None:
        levels = [(self.config_dir, self.state_dir, self._sandbox())]
        levels += [(self.config_dir / one, self.state_dir / one, self._container(one)) for one in self.containers]
        for config, state, found in levels:
            for folder in (config, state):
                directory(folder, 0o750)
                directory(folder / "raw", 0o750)
                file(folder / "lock", b"", 0o644)
            for name, content in found.items():
                file((config if name == "config" else state) / f"{name}.json", documents.go(content), 0o644)

    def _sandbox(self) -> dict[str, Any]:
        return documents.store_sandbox(self.id, self.facts, self.places.name(self.run_root))

    def _container(self, container_id: str) -> dict[str, Any]:
        return documents.store_container(self.id, container_id, self.facts)

    def write_residue(self) -> None:
        """What a mere status query leaves (K2), and Kata 1.11 on disk (runtime#2921): locks and raw directories."""
        for folder in self.trees:
            directory(folder / "raw", 0o750)
            file(folder / "lock", b"", 0o644)

    def _prepare_share(self) -> Path:
        """Up to 1.11 the tree itself is exported; with a factory its name is a link into the VM's directory."""
        directory(self.share_dir.parent, 0o750)
        if self.facts.vm_id:
            inside = f"{self.vm_root}/{self.facts.vm_id}/shared"
            directory(self.places.on(inside), 0o750)
            self.share_dir.symlink_to(self.places.name(inside))
            return self.places.on(inside)
        directory(self.share_dir, 0o750)
        return self.share_dir


class PersistSandbox(Sandbox):
    """Kata 1.11 to 4.x: persist.json (kata-persist.md)."""

    layout, run_root, vm_root = "kata_persist", "/run/vc", "/run/vc/vm"

    @property
    def state_dir(self) -> Path:
        return self.places.on(f"{self.run_root}/sbs/{self.id}")

    def write(self) -> None:
        content = documents.persist_sandbox(self.id, self.facts, self.places.name(self.run_root))
        directory(self.state_dir, 0o700)
        file(self.state_dir / "persist.json", documents.go(content, newline=True), 0o600)
        for one in self.containers:
            directory(self.state_dir / one, 0o700)
            inner = documents.persist_container(self.id, one, self.facts)
            file(self.state_dir / one / "persist.json", documents.go(inner, newline=True), 0o600)

    def make_vm(self) -> None:
        super().make_vm()
        if self.facts.hypervisor == "firecracker":
            directory(self.firecracker_dir / "root/run", 0o750)
            leave_socket(self.firecracker_dir / "root/kata.hvsock")
            pid_file = self.firecracker_dir / "root/firecracker.pid"
            pid_file.write_text(f"{self.facts.vmm_pid or 4711}", encoding="ascii")

    def _prepare_share(self) -> Path:
        """`shared` is a read-only slave bind of `mounts`; with a factory `mounts` is a link into the VM's directory."""
        mounts, shared = self.share_dir / "mounts", self.share_dir / "shared"
        directory(self.share_dir, 0o700)
        directory(shared, 0o700)
        directory(self.share_dir / "private", 0o700)
        if self.facts.vm_id:
            inside = f"{self.vm_root}/{self.facts.vm_id}/shared"
            directory(self.places.on(inside), 0o750)
            mounts.symlink_to(self.places.name(inside))
            mounts = self.places.on(inside)
        else:
            directory(mounts, 0o750)
        mounting.bind(mounts, shared, "slave", read_only=True)
        put_data(self.places.on(f"/var/lib/data/{self.id}/sandbox-mount"))
        mounting.bind(
            self.places.on(f"/var/lib/data/{self.id}/sandbox-mount"), mounts / "sandbox-mounts/pki", read_only=True
        )
        return mounts


class RsSandbox(Sandbox):
    """runtime-rs, the default since 4.0 (kata-runtime-rs.md)."""

    layout, run_root, vm_root = "kata_rs", "/run/kata", "/run/vc/vm"
    _propagation = "slave"

    @property
    def state_dir(self) -> Path:
        return self.places.on(f"{self.run_root}/{self.id}")

    @property
    def jail(self) -> Path:
        """Where a jailed Firecracker has its state, and where nobody looks for it (RS5)."""
        return self.places.on(f"{self.run_root}/firecracker/{self.id}")

    def write(self) -> None:
        directory(self.state_dir / "root", 0o750)
        content = documents.rs_sandbox(self.id, self.facts, self.places.name(self.run_root))
        target = self.state_dir
        if self.facts.jailed:
            target = self.jail / "root"
            directory(target, 0o755)
        file(target / "state.json", documents.serde(content), 0o644)

    def make_vm(self) -> None:
        """runtime-rs has no VM directory: the sockets lie in the sandbox's own one."""
        for name in ("shim-monitor.sock", "root/console.sock", "root/virtiofsd.sock"):
            leave_socket(self.state_dir / name)
        (self.state_dir / "root/virtiofsd.sock.pid").write_text("4712\n", encoding="ascii")

    def _prepare_share(self) -> Path:
        writable, exported = self.share_dir / "rw", self.share_dir / "ro"
        for folder in (writable, exported):
            directory(folder, 0o750)
        mounting.bind(writable, exported, "slave", read_only=True)
        return writable / "passthrough"


GENERATIONS: dict[str, type[StoreSandbox | PersistSandbox | RsSandbox]] = {
    one.layout: one for one in (StoreSandbox, PersistSandbox, RsSandbox)
}
_OF_THE_MACHINE = ("qemu", "virtiofsd", "old virtiofsd", "nydusd")
_VM_FILES = {
    "qemu": ("qmp.sock", "console.sock", "kata.sock", "vhost-fs.sock"),
    "clh": ("clh.sock", "clh-api.sock", "virtiofsd.sock"),
}


def sandbox(
    layout: str,
    sandbox_id: str = "lab-web-1",
    containers: Sequence[str] | None = None,
    facts: Facts | None = None,
    places: Places | None = None,
) -> Sandbox:
    """A sandbox of a generation; nothing is made yet. containers: its own one alone if not given."""
    wanted = (sandbox_id,) if containers is None else containers
    return GENERATIONS[layout](sandbox_id, wanted, facts or Facts(), places or Places())


def template(places: Places | None = None, vm_id: str = "") -> Path:
    """The VM factory's tmpfs with the template's memory and state; with vm_id, also a VM that waits to be used."""
    where = places or Places()
    folder = where.on("/run/vc/vm/template")
    mounting.tmpfs(folder, "mode=700,size=2m")
    for name in ("memory", "state"):
        (folder / name).write_bytes(b"template" * 64)
    if vm_id:
        waiting = where.on(f"/run/vc/vm/{vm_id}")
        directory(waiting, 0o750)
        leave_socket(waiting / "qmp.sock")
    return folder
