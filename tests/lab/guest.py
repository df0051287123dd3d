# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A QEMU guest that mounts a virtiofs share: Debian's cloud kernel and a busybox, unpacked below the lab.

    Guest(socket).run()                     # boots, runs the command, powers off; what the command printed

    with Guest(socket, command="ls /mnt") as guest:
        guest.start()                       # the command has run, the guest stays, and with it the daemon's client
        ...

Emulated (`accel=tcg`), so it needs no /dev/kvm; about 2.5 s a boot on an idle machine.
"""

from __future__ import annotations

import ctypes
import lzma
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.lab import real_programs
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package

TAG = "kataShared"
COMMAND = "cat /mnt/hello; echo from-guest > /mnt/written"
MEMORY = "192M"

_META = "linux-image-cloud-amd64"
# In the order in which they are loaded; what a kernel has built in is not there as a file.
_MODULES = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "fuse", "virtiofs")
_BEGIN, _END, _NO_MOUNT = "=== the command begins", "=== the command ended", "=== the share was not mounted"
_INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for one in $(cat /modules); do insmod "/$one"; done
if mount -t virtiofs "$(cat /tag)" /mnt; then
  echo '{_BEGIN}'
  sh /command 2>&1
  sync
  printf '\\n%s\\n' '{_END}'
else
  echo '{_NO_MOUNT}'
fi
if [ -e /stay ]; then while :; do sleep 3600; done; fi
umount /mnt
poweroff -f
"""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class GuestFailed(Exception):
    """The guest did not run its command; the text has what its console showed last."""


class _Entry(NamedTuple):
    """A file or, without content, a directory of the initramfs."""

    name: str
    content: bytes | None = None
    mode: int = 0o644


class Guest:
    """One virtual machine. It ends with its context, with `run`, and with the thread that started it."""

    def __init__(self, socket: Path, tag: str = TAG, command: str = COMMAND) -> None:
        self.socket, self.tag, self.command = socket, tag, command
        self._popen: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._console = b""

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_why: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The pid of QEMU; 0 where it does not run."""
        return self._popen.pid if self._popen and self._popen.poll() is None else 0

    @property
    def console(self) -> str:
        """All that its console and QEMU itself have printed so far."""
        return self._console.decode(errors="replace").replace("\r", "")

    def run(self, timeout: float = 120.0) -> str:
        """Boot, run the command, power off; what the command printed. Raises GuestFailed, Unavailable."""
        deadline = time.monotonic() + timeout
        try:
            popen = self._boot(stay=False)
            self._read_until(None, deadline)
            popen.wait(max(1.0, deadline - time.monotonic()))
        finally:
            self.stop()
        return self._printed()

    def start(self, timeout: float = 120.0) -> str:
        """Boot, run the command, and stay; what the command printed. Raises GuestFailed, Unavailable."""
        try:
            self._boot(stay=True)
            self._read_until(re.compile(f"(?:{_END}|{_NO_MOUNT})\n"), time.monotonic() + timeout)
            return self._printed()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Switch it off, as a power cut does; safe to call twice."""
        if self._popen is not None:
            assert self._popen.stdout is not None  # asked for in _boot
            self._popen.kill()
            self._popen.wait()
            self._popen.stdout.close()
            self._popen = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    # -- how it is made ----------------------------------------------------------------------------------------------

    def _boot(self, stay: bool) -> subprocess.Popen[bytes]:
        self.stop()
        self._console = b""
        image, program = kernel(), real_programs.qemu()
        self._folder = Path(tempfile.mkdtemp(prefix="guest-"))
        initramfs = self._folder / "initramfs"
        initramfs.write_bytes(_archive(self._entries(image, stay)))
        self._popen = subprocess.Popen(
            [str(program.executable), *self._words(image, initramfs)],
            env={"PATH": os.defpath, **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        return self._popen

    def _words(self, image: Path, initramfs: Path) -> list[str]:
        words = (
            "-M q35,accel=tcg -cpu max -smp 1 -nographic -no-reboot -nodefaults -serial stdio -monitor none -nic none"
        )
        memory = f"memory-backend-memfd,id=mem,size={MEMORY},share=on"  # the daemon works in the guest's memory
        share = f"vhost-user-fs-pci,queue-size=1024,chardev=share,tag={self.tag}"
        kernel_words = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check"
        return [
            *words.split(), *_firmware(), "-m", MEMORY, "-object", memory, "-numa", "node,memdev=mem",
            "-chardev", f"socket,id=share,path={self.socket}", "-device", share,
            "-kernel", str(image), "-initrd", str(initramfs), "-append", kernel_words,
        ]  # fmt: skip

    def _entries(self, image: Path, stay: bool) -> list[_Entry]:
        busybox = package("busybox-static") / "bin/busybox"
        modules = _modules(image)
        return [
            *[_Entry(name) for name in ("bin", "dev", "mnt", "proc", "sys")],
            _Entry("bin/busybox", busybox.read_bytes(), 0o755),
            _Entry("init", _INIT.encode(), 0o755),
            _Entry("command", f"{self.command}\n".encode()),
            _Entry("tag", self.tag.encode()),
            _Entry("modules", "\n".join(modules).encode()),
            *[_Entry(name, content) for name, content in modules.items()],
            *([_Entry("stay", b"")] if stay else []),
        ]

    # -- what it says ------------------------------------------------------------------------------------------------

    def _read_until(self, wanted: re.Pattern[str] | None, deadline: float) -> None:
        """Read its console until a line matches; None: until QEMU has closed it."""
        assert self._popen is not None and self._popen.stdout is not None  # _boot came before
        descriptor = self._popen.stdout.fileno()
        while not (wanted and wanted.search(self.console)):
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise GuestFailed(f"the guest took too long:\n{self._tail()}")
            block = os.read(descriptor, 65536)
            if not block:
                if wanted:
                    raise GuestFailed(f"QEMU ended early:\n{self._tail()}")
                return
            self._console += block

    def _printed(self) -> str:
        begun, _end, _rest = self.console.partition(f"\n{_END}\n")
        _before, found, printed = begun.partition(f"{_BEGIN}\n")
        if not found or not _end:
            raise GuestFailed(f"the guest did not run its command:\n{self._tail()}")
        return printed.strip()

    def _tail(self) -> str:
        return "\n".join(self.console.splitlines()[-20:])


def kernel() -> Path:
    """The newest cloud kernel of the machine's own release. Raises Unavailable."""
    meta = package(_META)
    # An empty package, whose documentation is a link to that of the kernel that it stands for.
    concrete = os.readlink(meta / "usr/share/doc" / _META)
    found = sorted(package(concrete).glob("boot/vmlinuz-*"))
    if not found:
        raise Unavailable(f"package {concrete} has no kernel; remove {meta} and try again")
    return found[-1]


def _modules(image: Path) -> dict[str, bytes]:
    """File name and content of each module that this kernel has, in the order of loading."""
    root = image.parent.parent
    found = {path.name.partition(".ko")[0].replace("-", "_"): path for path in root.glob("**/*.ko*")}
    return {f"{name}.ko": _unpacked(found[name]) for name in _MODULES if name in found}


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def _firmware() -> list[str]:
    folders = [package("seabios") / "usr/share/seabios", package("qemu-system-data") / "usr/share/qemu"]
    return [word for folder in folders for word in ("-L", str(folder))]


def _archive(entries: list[_Entry]) -> bytes:
    """A cpio archive in the form `newc`, uncompressed: an emulated processor unpacks slowly."""
    parts = [_member(number, entry) for number, entry in enumerate(entries, 1)]
    return b"".join([*parts, _member(0, _Entry("TRAILER!!!", b""))])


def _member(number: int, entry: _Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    content = entry.content or b""
    mode = entry.mode | stat.S_IFREG if entry.content is not None else 0o755 | stat.S_IFDIR
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(header) + _padded(content)


def _padded(block: bytes) -> bytes:
    return block + b"\0" * (-len(block) % 4)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
