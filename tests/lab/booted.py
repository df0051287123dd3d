# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Debian 12 that systemd has booted, in a container of systemd-nspawn, for playbooks to manage over ssh.

    with Booted() as booted:
        booted.play(playbook)
        booted.must("systemctl", "status", "virtiofsd@web.socket")

The tree is made once below the lab by debootstrap; what a test changes there is in memory only. The container is on an
inner host (tests/lab/host.py), so whatever becomes of the test, nothing of it is left.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.lab import host, packages, processes
from ansible_collections.sandboxed.containers.tests.lab.host import Host
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, lab_dir, package
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome, Workspace

RELEASE = "bookworm"
INCLUDED = ("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "openssh-server")
# Waiting in apt's cache for a role that installs it: the container has no network.
DOWNLOADED = ("qemu-system-common", "runsc", "containerd", "runc")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def available() -> str:
    """Why no systemd can be booted here and what would help; empty when it can."""
    why = host.available()
    if why:
        return why
    missing = [one for one in ("ssh", "ssh-keygen", "nsenter", "chroot", "wget") if not shutil.which(one)]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install openssh-client util-linux coreutils wget"
    try:
        tree()
        _nspawn()
    except Unavailable as exc:
        return str(exc)
    return ""


def tree() -> Path:
    """The root of a small Debian, made on first use. Raises Unavailable."""
    target = lab_dir().resolve() / "trees" / RELEASE
    if target.is_dir() and not _missing(target):
        return target
    package("debootstrap")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _make(target)
        elif _missing(target):  # an earlier version of this file has made it
            _download(target, *_missing(target))
    return target


def _missing(root: Path) -> list[str]:
    """What of DOWNLOADED is not in the cache of its apt."""
    return [name for name in DOWNLOADED if not [*(root / "var/cache/apt/archives").glob(f"{name}_*.deb")]]


def _download(root: Path, *names: str) -> None:
    _run(["chroot", root, "apt-get", "-qy", "--no-install-recommends", "--download-only", "install", *names], {})
    _remove_devices(root)


def _remove_devices(root: Path) -> None:
    """The container gets a /dev of its own, and whoever copies the lab would read /dev/full for ever."""
    for device in (root / "dev").iterdir():
        if not device.is_dir() or device.is_symlink():
            device.unlink()


def _make(target: Path) -> None:
    print(f"making a {RELEASE} with systemd in {target}", file=sys.stderr, flush=True)
    scratch = target.with_name(f".{RELEASE}")
    shutil.rmtree(scratch, ignore_errors=True)
    source = packages.debian_source()
    folder = package("debootstrap") / "usr"
    options = ["--variant=minbase", f"--include={','.join(INCLUDED)}", f"--keyring={source.signed_by}"]
    make: list[str | Path] = [folder / "sbin/debootstrap", *options, RELEASE, scratch, source.uri]
    # What it mounts below the tree goes with it, whatever becomes of it: a later run removes the tree.
    alone = ["unshare", "--mount", "--propagation", "private", "--"]
    _run([*alone, *make], {"DEBOOTSTRAP_DIR": str(folder / "share/debootstrap")})
    _download(scratch, *DOWNLOADED)
    scratch.rename(target)


def _run(words: Sequence[str | Path], settings: dict[str, str]) -> None:
    environment = {**os.environ, "LC_ALL": "C", **settings}
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = " / ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
        raise Unavailable(f"{Path(words[0]).name} failed with {done.returncode}: {last}")


def _nspawn() -> list[str]:
    libraries = package("libsystemd-shared").glob("usr/lib/*-linux-gnu/systemd")
    found = shutil.which("systemd-nspawn")
    if found:
        return [found]
    path = package("systemd-container") / "usr/bin/systemd-nspawn"
    return ["env", f"LD_LIBRARY_PATH={':'.join(map(str, libraries))}", str(path)]


class Booted:
    """A running system; on leaving its context, nothing of it is left. Raises Unavailable, TimeoutError."""

    def __init__(self) -> None:
        root, lab = tree(), lab_dir().resolve()
        self.workspace = Workspace(alone=False)
        self.folder = self.workspace.folder
        self._master = self.folder / "ssh"
        self._host: Host | None = None
        try:
            self._host = Host(self.workspace)
            options = ["--volatile=overlay", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
            # So that it can run the executables of the lab, at the path that is written into them.
            words = [*_nspawn(), "--boot", "-D", str(root), *options, f"--bind-ro={lab}"]
            self._console = self._host.spawn(words, {"TMPDIR": str(self.folder), "PATH": PATH})
            self.leader = 0
            processes.wait_until(self._has_begun, "systemd to begin")
            processes.wait_until(self._is_up, "systemd to boot")
            self._allow_ssh()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Booted:
        return self

    def __exit__(self, *_why: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything and remove the folder; safe to call twice."""
        try:
            if self._master.exists():
                _run(["ssh", "-o", f"ControlPath={self._master}", "-O", "exit", "booted"], {})
            if self._host is not None:
                self._host.close()
        finally:
            self.workspace.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def path(self, inside: str) -> Path:
        """A path of the system, as it is reached from here. An absolute link on the way leads to our own files."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def run(self, *words: str) -> Outcome:
        """Run a command in it to its end."""
        done = subprocess.run(
            [*self._enter(), "env", "-i", f"PATH={PATH}", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout.strip())

    def must(self, *words: str) -> str:
        """Run a command that has to succeed; its output."""
        outcome = self.run(*words)
        if outcome.code != 0:
            raise RuntimeError(f"{' '.join(words)} failed with {outcome.code}: {outcome.output}")
        return outcome.output

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self.leader), "--all", "--"]

    def _has_begun(self) -> bool:
        assert self._host is not None
        if self._console.popen.poll() is not None:
            raise RuntimeError(f"no systemd: {self._console.printed()}")
        for pid in self._host.nested_inits():
            words = processes.argv(pid)
            if words and not words[0].endswith("nspawn"):  # it has become systemd
                self.leader = pid
        return bool(self.leader)

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running").output in ("running", "degraded")

    # -- playbooks ---------------------------------------------------------------------------------------------------

    def connection(self) -> dict[str, str]:
        """How Ansible reaches it: the variables of a host in an inventory."""
        enter = " ".join([*self._enter(), "/usr/sbin/sshd", "-i"])
        # One login for all tasks: each of its own would take longer than the tasks do.
        shared = ["ControlMaster=auto", "ControlPersist=60", f"ControlPath={self._master}"]
        options = [*shared, "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        return {
            "ansible_connection": "ssh",
            "ansible_user": "root",
            "ansible_remote_tmp": "/tmp/.ansible",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_args": " ".join(f"-o {one}" for one in options),
            "ansible_ssh_common_args": f'-o ProxyCommand="{enter}"',
        }

    def play(self, playbook: list[dict[str, Any]], *flags: str, keep: bool = False) -> Outcome:
        """Run a playbook, whose host is `booted`. keep: what Ansible copies there stays, below /tmp/.ansible."""
        return run_playbook(self.folder, playbook, {"booted": self.connection()}, *flags, keep=keep)

    def _allow_ssh(self) -> None:
        key = self.folder / "key"
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], {})
        folder = self.path("/root/.ssh")
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(key.with_suffix(".pub"), folder / "authorized_keys")


def run_playbook(
    folder: Path, playbook: list[dict[str, Any]], hosts: dict[str, dict[str, Any]], *flags: str, keep: bool = False
) -> Outcome:
    """Run a playbook as a user does; its recap tells what changed. The folder holds its files."""
    book, inventory = folder / "playbook.json", folder / "inventory.json"
    book.write_text(json.dumps(playbook), encoding="utf-8")
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    how = {"ANSIBLE_KEEP_REMOTE_FILES": "1"} if keep else {"ANSIBLE_PIPELINING": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), *flags, str(book)],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **how},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout.strip())
