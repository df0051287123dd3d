# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a host of the fleet: makes sandboxes there, and prints the processes of those that live.

Reads ``{dead, live, gvisor, bare}`` as JSON: the names of Kata sandboxes of all generations with mounts, of living ones
with stand-ins for their processes, of states of gVisor, and of Kata sandboxes that are a state alone. Each of them says
that its processes have pids that nobody has.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.lab import kata, trees
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

GONE = 4_000_000  # above what a host of this size ever gives to a process
RUNSC = Path("/run/runsc")


def dead(name: str) -> None:
    """A Kata sandbox that was killed with all its processes: state, bundle, VM directory, mounts."""
    box = kata.sandbox("kata_persist", name, facts=Facts(vmm_pid=GONE, virtiofsd_pid=GONE + 1))
    box.write()
    box.make_bundles()
    box.make_share()
    box.make_vm()


def live(name: str, crowd: Crowd) -> list[int]:
    """The same with its processes."""
    box = kata.sandbox("kata_persist", name)
    box.write()
    box.make_bundles()
    box.make_share()
    return [crowd.start(box.program(kind)).pid for kind in ("shim", "qemu", "virtiofsd")]


def bare(name: str) -> None:
    """The state of a Kata sandbox, and nothing else of it."""
    kata.sandbox("kata_persist", name, facts=Facts(vmm_pid=GONE)).write()


def gvisor(name: str) -> None:
    """The state and the lock that a killed runsc leaves."""
    trees.directory(RUNSC, 0o711)
    document = {
        "id": name,
        "status": "running",
        "bundleDir": f"/run/bundles/{name}",
        "spec": {"ociVersion": "1.0.0", "root": {"path": "rootfs"}},
        "goferPid": GONE + 2,
        "sandbox": {"id": name, "pid": GONE + 3},
    }
    trees.file(RUNSC / f"{name}_sandbox:{name}.lock", b"", 0o600)
    trees.file(RUNSC / f"{name}_sandbox:{name}.state", json.dumps(document).encode(), 0o640)


def main() -> None:
    wanted = json.load(sys.stdin)
    crowd = Crowd(Path("/run/lab/programs"))
    pids = [pid for name in wanted.get("live", ()) for pid in live(name, crowd)]
    for kind in (dead, bare, gvisor):
        for name in wanted.get(kind.__name__, ()):
            kind(name)
    print(json.dumps(pids), flush=True)
    os._exit(0)  # the crowd goes on: it ends with its host


if __name__ == "__main__":
    main()
