# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the things of a host that was made up: files, directories, and processes that look like the real ones."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.faults import gvisor
from ansible_collections.sandboxed.containers.tests.integration.host import made_up
from ansible_collections.sandboxed.containers.tests.integration.host.made_up import MadeUp, Thing
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_programs import CONTAINERD
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program, Started

TASKS, SHARES, MACHINES = Path(kata.TASKS), Path(kata.SHARED) / "sandboxes", Path("/run/vc/vm")
WORK = Path("/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io")
METADATA = Path("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db")
MAPPINGS, SOCKETS = Path("/run/kata-containers/containers-mapping"), Path("/run/containerd/s")
DATA = Path("/var/lib/data")
# All that the modules look at, and what lies beside it.
TOPS = [Path("/run", one) for one in ("vc", "kata", "kata-containers", "containerd", "runsc", "docker")]
TOPS += [Path("/var/lib/vc"), Path("/var/lib/containerd"), DATA]
_DOCUMENTS = {"kata_store": "hypervisor.json", "kata_persist": "persist.json", "kata_rs": "state.json"}
_APART = 0.05  # seconds: more than the steps in which the kernel tells when a file was changed
Entry = tuple[int, int, int, bytes]


class Ground:
    """One host at a time. roots: the paths of each thing. processes: who was started for it. between: a time after
    which the young ones were made, and before which all others."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._locks: list[int] = []
        self.roots: dict[Thing, list[Path]] = {}
        self.processes: dict[Thing, list[Started]] = {}
        self.between = 0.0

    def build(self, host: MadeUp) -> None:
        """Make all of it anew."""
        self.clear()
        trees.put_data(DATA)
        for top in TOPS:
            top.mkdir(parents=True, exist_ok=True)
            (top / "canary").write_text("precious", encoding="utf-8")
        if host.engine == "unreadable":
            trees.directory(METADATA.parent, 0o700)
            METADATA.write_text("no database", encoding="utf-8")
        if host.engine == "runs":
            self._crowd.start(Program("/usr/bin/dockerd"))  # containerd has a database while it runs
        for young in (False, True):
            for one in host.things:
                if (one.life == made_up.YOUNG) is young:
                    self.roots[one], self.processes[one] = [], []
                    getattr(self, f"_{one.kind}")(one)
            if not young:
                time.sleep(_APART)
                self.between = time.time()
                time.sleep(_APART)

    def clear(self) -> None:
        """End all processes, unmount everything, and remove what is left."""
        self._crowd.close()
        for descriptor in self._locks:
            os.close(descriptor)
        self._locks.clear()
        self.roots.clear()
        self.processes.clear()
        for top in TOPS:
            while mounting.below(top):
                for point in filter(os.path.ismount, reversed(mounting.below(top))):  # one may cover another
                    mounting.unmount(Path(point))
            shutil.rmtree(top, ignore_errors=True)

    # each kind

    def _sandbox(self, one: Thing) -> None:
        if one.layout in made_up.GVISOR:
            self._gvisor(one)
            return
        box = kata.sandbox(one.layout, one.name, list(dict.fromkeys([one.name, one.other or one.name])))
        self.roots[one] += box.trees
        box.write()
        self._add_extras(one, box)
        document = {"kata_store": "hypervisor.json", "kata_persist": "persist.json", "kata_rs": "state.json"}[
            one.layout
        ]
        _damage(box.state_dir / document, one.damage)
        self._enliven_kata(one, box)

    def _add_extras(self, one: Thing, box: Sandbox) -> None:
        if "bundles" in one.extras:
            box.make_bundles()
            for bundle in map(box.bundle, box.containers):
                (bundle / "config.json").write_text(_spec(one.name), encoding="utf-8")
                self.roots[one].append(bundle)
        if "mappings" in one.extras:
            self.roots[one] += [MAPPINGS / name for name in box.containers]
            for name in box.containers:
                trees.directory(MAPPINGS / name / one.name, 0o750)
        if "vm" in one.extras and one.layout != "kata_rs":
            box.make_vm()
            self.roots[one].append(box.vm_dir)
        if "initdata" in one.extras and one.layout == "kata_persist":
            box.make_initdata()
            self.roots[one].append(box.initdata)
        if "share" in one.extras or "mounted" in one.extras:
            trees.directory(box.share_dir / "mounts" / one.name / "rootfs", 0o750)
            self.roots[one].append(box.share_dir)
        if "mounted" in one.extras:
            _mount(box.share_dir / "mounts" / one.name / "rootfs")
        if "residue" in one.extras and one.layout == "kata_persist":
            trees.directory(Path("/var/lib/vc/sbs") / one.name, 0o750)  # runtime#2921

    def _enliven_kata(self, one: Thing, box: Sandbox) -> None:
        if one.life == made_up.LOCKED:
            self._lock(box.state_dir / "lock" if one.layout == "kata_store" else box.state_dir)
        elif one.life == made_up.LISTENER:
            path = box.state_dir / "shim-monitor.sock"
            self._start(one, Program("/usr/bin/unheard-of", listens=[path]))
        elif one.life == made_up.STRANGER:
            self._start(one, box.program("editor"))
        elif one.lives:
            bundle, machine = box.bundle(one.name), box.vm_dir
            self._start(one, box.program(one.life, one.other or one.name))
            self.roots[one] += [bundle, machine, box.firecracker_dir]

    def _gvisor(self, one: Thing) -> None:
        root = Path("/run/containerd/runsc/k8s.io" if "namespace" in one.extras else "/run/runsc")
        trees.directory(root, 0o711)
        bundle = TASKS / f"gvisor-{one.name}"
        gofer = sandbox = 0
        words = [f"--root={root}"]
        if one.life == "sandbox":
            sandbox = self._start(one, Program("/usr/bin/runsc", [*words, "boot", one.name], "runsc-sandbox")).pid
        elif one.life == "gofer":
            program = Program("/usr/bin/runsc", [*words, "gofer", "--bundle", str(bundle)], "runsc-gofer")
            gofer = self._start(one, program).pid
        elif one.life == "command":
            self._start(one, Program("/usr/bin/runsc", [*words, "start", one.name]))
        elif one.life == made_up.STRANGER:
            self._start(one, Program("/usr/bin/vi", [one.name]))
        content = gvisor.document("/run", one.name)
        content.update(bundleDir=str(bundle), goferPid=gofer, sandbox={"id": one.name, "pid": sandbox})
        stem = f"{one.name}_sandbox:{one.name}" if one.layout == "gvisor" else one.name
        state, lock = root / f"{stem}.state", root / f"{stem}.lock"
        self.roots[one] += [state, lock]
        state.write_text(json.dumps(content), encoding="utf-8")
        if "nolock" not in one.extras or one.life == made_up.LOCKED:
            lock.touch()
        # gVisor's documents alone tell who a gofer is for.
        _damage(state, one.damage if one.life != "gofer" else made_up.WHOLE)
        if one.life == made_up.LOCKED:
            self._lock(lock)

    def _bundle(self, one: Thing) -> None:
        folder = TASKS / one.name
        trees.directory(folder / "rootfs", 0o711)
        self.roots[one].append(folder)
        (folder / "config.json").write_text(_spec(one.other), encoding="utf-8")
        if "work" in one.extras:
            trees.directory(WORK / one.name, 0o711)
            self.roots[one].append(WORK / one.name)
        if "rest" in one.extras:
            trees.directory(TASKS / f".{one.name}.0123456789abcdef/rootfs", 0o711)
        if "socket" in one.extras or one.life == made_up.LISTENER:
            path = SOCKETS / hashlib.sha256(one.name.encode()).hexdigest()
            (folder / "address").write_text(f"unix://{path}", encoding="utf-8")
            self.roots[one].append(path)
            if one.life == made_up.LISTENER:
                trees.directory(path.parent, 0o700)
                self._start(one, Program("/usr/bin/unheard-of", listens=[path]))
            else:
                trees.leave_socket(path)
        if "mounted" in one.extras:
            _mount(folder / "rootfs")
        _damage(folder / "config.json", one.damage)
        words = ["-namespace", "k8s.io", "-address", CONTAINERD, "-id", one.other or one.name]
        if one.life == "shim":
            self._start(one, Program("/usr/bin/containerd-shim-runc-v2", words, cwd=folder))
        elif one.life == "rooted":
            self._start(one, Program("/bin/sleep", ["1"], root=folder / "rootfs"))
        elif one.life == made_up.STRANGER:
            self._start(one, Program("/usr/bin/vi", [one.name]))

    def _mapping(self, one: Thing) -> None:
        trees.directory(MAPPINGS / one.name / one.other if one.other else MAPPINGS / one.name, 0o750)
        self.roots[one].append(MAPPINGS / one.name)
        if one.life == made_up.STRANGER:
            self._start(one, Program("/usr/bin/vi", [f"/srv/{one.name}/notes"]))

    def _socket(self, one: Thing) -> None:
        path = SOCKETS / hashlib.sha256(f"{one.name} alone".encode()).hexdigest()
        trees.directory(SOCKETS, 0o700)
        self.roots[one].append(path)
        if one.life == made_up.LISTENER:
            self._start(one, Program("/usr/bin/unheard-of", listens=[path]))
        else:
            trees.leave_socket(path)

    def _orphan(self, one: Thing) -> None:
        folder = SHARES / one.name if one.layout == "share" else MACHINES / one.name
        if one.layout == "factory" and not folder.exists():
            trees.directory(MACHINES, 0o750)
            folder.symlink_to(f"{MACHINES}/made-{one.name}")
        elif one.layout != "factory":
            trees.directory(folder / "mounts", 0o750)
        self.roots[one].append(folder)
        if "mounted" in one.extras and one.layout == "share":
            _mount(folder / "mounts")
        if one.life == made_up.STRANGER:
            self._start(one, Program("/usr/bin/vi", [f"/srv/{one.name}"]))

    def _stray(self, one: Thing) -> None:
        """A process whose files are all gone; what was made for it alone goes again."""
        box = kata.sandbox(one.layout, one.name)
        folders = [box.vm_dir, box.share_dir, box.bundle(one.name), *box.trees]
        before = {folder for folder in folders if folder.exists() or folder.is_symlink()}
        self._start(one, box.program(one.life))
        for folder in folders:
            if folder not in before:
                shutil.rmtree(folder, ignore_errors=True)

    # what they share

    def _start(self, one: Thing, program: Program) -> Started:
        for path in program.sockets:
            if path.exists():
                path.unlink()
        started = self._crowd.start(program)
        self.processes[one].append(started)
        return started

    def _lock(self, path: Path) -> None:
        self._locks.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        fcntl.flock(self._locks[-1], fcntl.LOCK_EX)


def _spec(pod: str) -> str:
    """A spec that tells the pod, if there is one."""
    return json.dumps({"annotations": {"io.kubernetes.cri.sandbox-id": pod} if pod else {}})


def _mount(target: Path) -> None:
    """Data of the host, which must stay what it is."""
    if not os.path.ismount(target):
        mounting.bind(DATA, target)


def _damage(path: Path, how: str) -> None:
    """A document that somebody broke, or something in its place."""
    if how == made_up.WHOLE or not path.exists():
        return
    data = path.read_bytes()
    path.unlink()
    if how == "fifo":
        os.mkfifo(path)
    elif how == "link":
        path.symlink_to(DATA / "file")
    elif how == "folder":
        path.mkdir()
    elif how == "huge":
        path.touch()
        os.truncate(path, (64 << 20) + 1)
    elif how != "missing":
        path.write_bytes(b"" if how == "empty" else data[: len(data) // 2])


def taken() -> dict[str, Entry]:
    """All that lies there, with its content; not the change times of directories, which follow their entries."""
    found = {}
    for top in TOPS:
        for folder, folders, files in os.walk(top):
            for path in (os.path.join(folder, name) for name in folders + files):
                facts = os.lstat(path)
                data = b""
                if stat.S_ISREG(facts.st_mode) and facts.st_size < 1 << 20:
                    data = Path(path).read_bytes()
                elif stat.S_ISLNK(facts.st_mode):
                    data = os.fsencode(os.readlink(path))
                found[path] = (facts.st_mode, facts.st_ino, facts.st_size if data else 0, data)
    return found
