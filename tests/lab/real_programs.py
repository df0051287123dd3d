# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real virtiofsd, in C and in Rust, and the real QEMU, for tests that a stand-in is not good enough for.

They run in a host of their own only (own_host.py): what they start, and what they hide from, ends with it. The copies
that stand alone run anywhere on this machine, and what starts them has to end them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, lab_dir, package, tool
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Program

_INTERPRETER = b"/lib64/ld-linux-x86-64.so.2\0"
_HERE = b"/run/lab/ld.so\0"  # in a host of its own; no longer than the one that it stands for
_NEWER = ("libc6", "libseccomp2", "libcap-ng0", "libgcc-s1")
# Where Debian 12 has the libraries that a machine may lack.
_PACKAGE_OF = {
    "libaio.so.1": "libaio1",
    "libcap-ng.so.0": "libcap-ng0",
    "libcapstone.so.4": "libcapstone4",
    "libdaxctl.so.1": "libdaxctl1",
    "libfdt.so.1": "libfdt1",
    "libfuse3.so.3": "libfuse3-3",
    "libgmodule-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgio-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgnutls.so.30": "libgnutls30",
    "libibverbs.so.1": "libibverbs1",
    "libjpeg.so.62": "libjpeg62-turbo",
    "libkmod.so.2": "libkmod2",
    "libndctl.so.6": "libndctl6",
    "libnettle.so.8": "libnettle8",
    "libnl-3.so.200": "libnl-3-200",
    "libnl-route-3.so.200": "libnl-route-3-200",
    "libnuma.so.1": "libnuma1",
    "libpixman-1.so.0": "libpixman-1-0",
    "libpmem.so.1": "libpmem1",
    "libpng16.so.16": "libpng16-16",
    "librdmacm.so.1": "librdmacm1",
    "libsasl2.so.2": "libsasl2-2",
    "libseccomp.so.2": "libseccomp2",
    "libslirp.so.0": "libslirp0",
    "liburing.so.2": "liburing2",
    "libvdeplug.so.2": "libvdeplug2",
}


class Real(NamedTuple):
    """An executable and the environment that it needs."""

    executable: Path
    environment: dict[str, str]


def as_real(program: Program, real: Real) -> tuple[Program, Path]:
    """What Crowd.start_real wants."""
    return replace(program, environment={**program.environment, **real.environment}), real.executable


def old_virtiofsd() -> Real:
    """The one in C, of QEMU 7.2. Raises Unavailable."""
    return _with_libraries(package("qemu-system-common") / "usr/lib/qemu/virtiofsd")


def qemu() -> Real:
    """qemu-system-x86_64 7.2; without firmware, so only `-machine none` starts. Raises Unavailable."""
    found = _with_libraries(package("qemu-system-x86") / "usr/bin/qemu-system-x86_64")
    modules = list(package("qemu-system-common").glob("usr/lib/*-linux-gnu/qemu"))
    return found._replace(environment={**found.environment, "QEMU_MODULE_DIR": ":".join(map(str, modules))})


def virtiofsd() -> Real:
    """The one in Rust, 1.13 of Debian 13, on that release's C library.

    Its executable is a copy that names another dynamic linker, so that /proc shows virtiofsd and its own arguments and
    not the linker's. Only in a host of its own; raises Unavailable.
    """
    original = package("virtiofsd", "trixie") / "usr/libexec/virtiofsd"
    folders = [folder for name in _NEWER for folder in package(name, "trixie").glob("usr/lib/*-linux-gnu")]
    linkers = [found for folder in folders for found in folder.glob("ld-linux-x86-64.so.2")]
    content = original.read_bytes()
    if content.count(_INTERPRETER) != 1 or not linkers:
        raise Unavailable("Debian 13's virtiofsd is not for this machine; run it on x86_64")
    target = lab_dir() / "virtiofsd-1.13" / "virtiofsd"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f"virtiofsd.{os.getpid()}")
        scratch.write_bytes(content.replace(_INTERPRETER, _HERE.ljust(len(_INTERPRETER), b"\0")))
        scratch.chmod(0o755)
        scratch.rename(target)
    here = Path(os.fsdecode(_HERE.rstrip(b"\0")))
    if not here.is_symlink():
        here.symlink_to(linkers[0])
    return Real(target, {"LD_LIBRARY_PATH": ":".join(map(str, folders))})


def standalone_virtiofsd() -> Path:
    """The one in Rust, as an executable that runs anywhere on this machine, in an empty environment too.

    Raises Unavailable.
    """
    original = package("virtiofsd", "trixie") / "usr/libexec/virtiofsd"
    folders = [folder for name in _NEWER for folder in package(name, "trixie").glob("usr/lib/*-linux-gnu")]
    linkers = [found for folder in folders for found in folder.glob("ld-linux-x86-64.so.2")]
    if not linkers:
        raise Unavailable("Debian 13's virtiofsd is not for this machine; run it on x86_64")
    return _standing_alone("rust", original, folders, linkers[0])


def standalone_old_virtiofsd() -> Path:
    """The one in C, likewise. Raises Unavailable."""
    program, environment = old_virtiofsd()
    folders = [Path(one) for one in environment.get("LD_LIBRARY_PATH", "").split(":") if one]
    return _standing_alone("c", program, folders)


def _standing_alone(name: str, program: Path, folders: list[Path], linker: Path | None = None) -> Path:
    """A copy that names the absolute paths of its libraries and of its linker itself."""
    lab = lab_dir().resolve()
    # The paths are written into the copy, so a lab that was moved, or is seen at another path, needs another one.
    target = lab / f"standalone-{hashlib.sha256(bytes(lab)).hexdigest()[:8]}" / name / "virtiofsd"
    if target.exists():
        return target
    words = ["--set-interpreter", str(linker.resolve())] if linker else []
    if folders:  # a RUNPATH would not be used for the libraries of a library
        words += ["--force-rpath", "--set-rpath", ":".join(str(one.resolve()) for one in folders)]
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"virtiofsd.{os.getpid()}")
    shutil.copyfile(program, scratch)
    scratch.chmod(0o755)
    if words:
        patch = [*tool("patchelf", "patchelf"), *words, str(scratch)]
        done = subprocess.run(patch, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            scratch.unlink()
            raise Unavailable(f"{' '.join(patch)} failed: {done.stderr.strip()}")
    scratch.rename(target)
    return target


def _with_libraries(program: Path) -> Real:
    """A program with what the machine lacks, fetched until nothing is missing."""
    folders: list[str] = []
    while True:
        environment = {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}
        missing = _missing(program, environment)
        if not missing:
            return Real(program, environment)
        unknown = [name for name in missing if name not in _PACKAGE_OF]
        fetched = {str(one) for name in missing for one in _folders(name)} - set(folders) if not unknown else set()
        if not fetched:
            raise Unavailable(f"{program.name} lacks {', '.join(unknown or missing)}; install it")
        folders += sorted(fetched)


def _folders(library: str) -> list[Path]:
    root = package(_PACKAGE_OF[library])
    return [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")]


def _missing(program: Path, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        ["ldd", str(program)], env={"PATH": os.defpath, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable(f"{program.name} does not run on this machine: {done.stderr.strip()}")
    return sorted({line.split()[0] for line in done.stdout.splitlines() if "not found" in line})
