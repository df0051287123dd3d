# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many small hosts with a Debian 12 each, which Ansible reaches over ssh as it reaches any other.

    with Fleet(20) as fleet:
        fleet.hosts["fleet-1"].put(dead=["lab-fleet-dead"], live=["lab-fleet-live"])
        fleet.play("sandboxed.containers.audit")

A host has a network, files, mounts and processes of its own and an sshd. It starts within a tenth of a second, all
share the tree of tests/lab/booted.py, and what is changed in one is in memory only. When it ends, however it ends, the
kernel takes its processes and mounts with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.lab import booted, cgroups, host, processes
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome, Running, Workspace

TREE = Path(__file__).parents[5]  # in which the collection has its full name
PUT = "ansible_collections.sandboxed.containers.tests.lab.fleet_host"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")
_KINDS = ["process", "daemon", "socket", "bundle", "sandbox", "mapping", "rootless"]
# $1: the tree of all hosts, $2: name, $3: the folder of the fleet, $4: TREE; what follows are the fleet's cgroups. The
# number of this shell as the test sees it is in the machine's own /proc. /var/lib is no overlay, so that the root file
# systems of containers can be one. With SIGCHLD ignored the kernel reaps what becomes a child of init.
_BOOT = """
set -eu
tree=$1 name=$2 folder=$3 collections=$4
read -r pid rest < /proc/self/stat
ip link set lo up
hostname "$name"
cd "$folder/mnt"
mount -t tmpfs -o size=256m,mode=755 tmpfs .
cd "$folder/mnt"
mkdir upper work root
mount -t overlay -o "lowerdir=$tree,upperdir=upper,workdir=work" overlay root
cd root
for place in run var/lib; do mount -t tmpfs -o size=32m,mode=755 tmpfs $place; done
mount -t tmpfs -o size=1m,mode=755 tmpfs dev
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mkdir -m 1777 run/lock
mkdir -p srv/fleet srv/tree run/sshd var/lib/dbus
mount --bind "$folder/shared" srv/fleet
mount --bind -o ro "$collections" srv/tree
mount -t proc proc proc
echo "$name" > etc/hostname
echo -n "$name" | md5sum | cut -c 1-32 > run/machine-id
mount --bind run/machine-id etc/machine-id
pivot_root . mnt
umount -l /mnt
mount --make-rshared /
/usr/sbin/sshd -D -f /srv/fleet/sshd_config &
echo "$pid"
trap '' CHLD
exec sleep infinity
"""
_ENTER = """
for cgroup; do echo $$ > "$cgroup/cgroup.procs"; done
exec setpriv --pdeathsig KILL unshare --net --mount --pid --uts --ipc --fork --kill-child --propagation private \\
  sh -c "$BOOT" boot "$TREE" "$NAME" "$FOLDER" "$COLLECTIONS"
"""
_SSHD = """
ListenAddress 127.0.0.1
HostKey /srv/fleet/host
AuthorizedKeysFile /srv/fleet/key.pub
StrictModes no
PidFile none
PermitRootLogin yes
"""


def available() -> str:
    """Why there can be no fleet here and what would help; empty when there can."""
    missing = [one for one in ("ssh", "ssh-keygen", "ip", "pivot_root", "nsenter") if not shutil.which(one, path=_PATH)]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install openssh-client iproute2 util-linux"
    why = host.available()
    if why:
        return why
    try:
        booted.tree()
        package("busybox-static")
    except Unavailable as exc:
        return str(exc)
    return ""


_PATH = f"{os.environ.get('PATH', os.defpath)}:{PATH}"


class Member:
    """A host of the fleet, which is up from the beginning on."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.name = name
        self._fleet = fleet
        self._running: Running | None = None
        self.init = 0
        self.variables: dict[str, Any] = {}  # its own in the inventory

    def start(self) -> None:
        """Begin to boot it, without anything that it had before."""
        settings = {
            "BOOT": _BOOT,
            "TREE": str(booted.tree()),
            "NAME": self.name,
            "FOLDER": str(self._fleet.folder),
            "COLLECTIONS": str(TREE),
            "PATH": _PATH,
        }
        words = ["env", *(f"{key}={value}" for key, value in settings.items()), "sh", "-c", _ENTER, "enter"]
        self._running = self._fleet.workspace.spawn([*words, *map(str, self._fleet.cgroups)])

    def wait(self) -> None:
        """Until it takes logins."""
        running = self._running
        assert running is not None
        processes.wait_until(
            lambda: "\n" in running.printed() or running.popen.poll() is not None, f"{self.name}'s init"
        )
        printed = running.printed().strip()
        if not printed.isdigit():
            raise RuntimeError(f"no host {self.name}: {printed}")
        self.init = int(printed)
        processes.wait_until(self._listens, f"{self.name}'s sshd")

    def _listens(self) -> bool:
        rows = Path(f"/proc/{self.init}/net/tcp").read_text(encoding="ascii").splitlines()
        return any(row.split()[1] == "0100007F:0016" and row.split()[3] == "0A" for row in rows[1:])

    def die(self) -> None:
        """As by a power cut: all that runs in it is gone, and what it had in memory."""
        processes.kill(self.init)
        assert self._running is not None
        self._running.popen.wait(30)  # it reaps its init, which the machine's own init would do only after a while

    def end_all(self, *beginnings: str) -> None:
        """Kill what runs in it with command lines that begin like this, as the kernel does when memory is short."""
        for pid in self.pids():
            if " ".join(processes.argv(pid)).startswith(beginnings):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """The processes in it but for its init, by our numbers."""
        namespace = os.readlink(f"/proc/{self.init}/ns/pid")
        found = []
        for name in os.listdir("/proc"):
            with suppress(OSError):
                if name.isdigit() and int(name) != self.init and os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    found.append(int(name))
        return sorted(found)

    def path(self, inside: str) -> Path:
        """A path of the host, as it is reached from here. An absolute link on the way leads to our own files."""
        return Path(f"/proc/{self.init}/root{inside}")

    def enter(self, *namespaces: str) -> list[str]:
        """What stands before a command that runs in it."""
        return ["nsenter", "--target", str(self.init), *namespaces, "--"]

    def run(self, *words: str, stdin: str = "") -> Outcome:
        """Run a command in it to its end."""
        done = subprocess.run(
            [*self.enter(*_NAMESPACES), "env", "-i", f"PATH={PATH}", *words],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout.strip())

    def must(self, *words: str, stdin: str = "") -> str:
        """Run a command that has to succeed; its output."""
        outcome = self.run(*words, stdin=stdin)
        if outcome.code != 0:
            raise RuntimeError(f"{' '.join(words)} failed with {outcome.code} on {self.name}: {outcome.output}")
        return outcome.output

    def spawn(self, *words: str) -> Running:
        """Start a command in it and return while it works; it ends with the fleet."""
        return self._fleet.workspace.spawn([*self.enter(*_NAMESPACES), "env", "-i", f"PATH={PATH}", *words])

    def put(self, **wanted: Any) -> list[int]:
        """Make sandboxes, dead and alive, as fleet_host.py does; the processes of the living, by its own numbers."""
        settings = ["PYTHONPATH=/srv/tree", "PYTHONPYCACHEPREFIX=/srv/fleet/bytecode"]
        told: list[int] = json.loads(self.must("env", *settings, "python3", "-m", PUT, stdin=json.dumps(wanted)))
        return told

    def has(self, pid: int) -> bool:
        """Whether one of its processes runs, by its own number."""
        with suppress(OSError):
            return self.path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
        return False


class Fleet:
    """Hosts, and the files of a controller. Nothing of it is left on leaving its context. Raises Unavailable."""

    def __init__(self, count: int) -> None:
        self.workspace = Workspace()
        self.folder = self.workspace.folder
        self.cgroups: list[Path] = []
        self.plans = self.folder.resolve() / "plans"  # as the playbooks call it
        try:
            self.cgroups = cgroups.make(self.folder.name)
            self._prepare()
            self.hosts = {f"fleet-{number}": Member(self, f"fleet-{number}") for number in range(1, count + 1)}
            for one in self.hosts.values():
                one.start()
            for one in self.hosts.values():
                one.wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_why: object) -> None:
        self.close()

    def close(self) -> None:
        """End all hosts and remove the folder; safe to call twice."""
        try:
            self.workspace.end_all()
            if self.cgroups:
                cgroups.remove(self.folder.name)
        finally:
            self.workspace.close()

    def _prepare(self) -> None:
        (self.folder / "mnt").mkdir()
        shared = self.folder / "shared"
        shared.mkdir()
        (shared / "sshd_config").write_text(_SSHD, encoding="ascii")
        for name in ("key", "host"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(shared / name)]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    # -- the controller ------------------------------------------------------------------------------------------------

    def command(self, playbook: str, *flags: str, hosts: Sequence[str] = (), **variables: Any) -> list[str]:
        """What runs a playbook, as a user does; on all hosts if none are named."""
        names = list(hosts) or list(self.hosts)
        variables = {"sandbox_plans": str(self.plans), **variables}
        settings = {
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": "5",
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
        }
        words = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory(names)), *flags]
        words += ["-e", json.dumps(variables), playbook]
        return ["env", *(f"{key}={value}" for key, value in settings.items()), *words]

    def begin(self, playbook: str, *flags: str, hosts: Sequence[str] = (), **variables: Any) -> Running:
        """Begin to run a playbook."""
        return self.workspace.spawn(self.command(playbook, *flags, hosts=hosts, **variables))

    def play(self, playbook: str, *flags: str, hosts: Sequence[str] = (), **variables: Any) -> Outcome:
        """Run a playbook to its end."""
        return self.end(self.begin(playbook, *flags, hosts=hosts, **variables))

    def end(self, running: Running) -> Outcome:
        """Wait for the end of a playbook."""
        # What it prints must be read meanwhile: a pipe holds little.
        processes.wait_until(lambda: bool(running.printed()) and running.popen.poll() is not None, "a playbook", 300)
        try:
            return running.wait()
        finally:
            running.close()

    def inventory(self, names: Sequence[str]) -> Path:
        """Where the hosts are, as they are now."""
        busybox = package("busybox-static") / "bin/busybox"
        options = ["ControlMaster=no", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        shared = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(self.folder / "shared/key"),
            "ansible_ssh_args": " ".join(f"-o {one}" for one in options),
            # A pid namespace that is not the first one proves nothing to the modules; here nobody else has processes
            # that own what lies on a host.
            "sandbox_audit_sees_all_processes": True,
            "sandbox_prune_sees_all_processes": True,
            "sandbox_audit_min_age": 0,
            "sandbox_prune_min_age": 0,
            "sandbox_prune_on_mounted": "unmount",
            # Cgroups are the machine's, and so of tests that run beside these.
            "sandbox_audit_kinds": _KINDS,
            "sandbox_prune_kinds": _KINDS,
        }
        hosts: Mapping[str, dict[str, Any]] = {
            name: {
                "ansible_ssh_common_args": f'-o ProxyCommand="{self._proxy(name, busybox)}"',
                **self.hosts[name].variables,
            }
            for name in names
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}), encoding="utf-8")
        return path

    def _proxy(self, name: str, busybox: Path) -> str:
        return f"nsenter --net=/proc/{self.hosts[name].init}/ns/net {busybox} nc 127.0.0.1 22"


def recap(output: str) -> dict[str, dict[str, int]]:
    """What a playbook's recap says of each host."""
    rows = output.partition("PLAY RECAP")[2].splitlines()[1:]
    found = {}
    for row in rows:
        name, colon, counts = row.partition(" : ")
        if colon:
            pairs = (one.split("=") for one in counts.split())
            found[name.strip()] = {key: int(value) for key, value in pairs}
    return found


def words(output: str) -> list[str]:
    """What a playbook said of the fleet."""
    text = output.rpartition("TASK [The fleet in words]")[2]
    start, end = text.index("{"), text.index("\n}") + 2
    lines: list[str] = json.loads(text[start:end])["msg"]
    return lines
