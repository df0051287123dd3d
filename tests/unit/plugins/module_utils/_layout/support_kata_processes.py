# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command lines that Kata gives its processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim, Reading, Roots
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CID,
    SID,
    layout_of,
    roots_of,
)

SHORT = SID[:32]


VM = f"/run/vc/vm/{SID}"


SHARE = f"/run/kata-containers/shared/sandboxes/{SID}"


STORE = f"/run/vc/sbs/{SID}"


RS = f"/run/kata/{SID}"


JAIL = f"/run/vc/firecracker/{SHORT}/root"


BUNDLE = f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{SID}"


UUID = "6c5bcd4f-9ab0-4ff0-a4f1-9ab0c0ffee00"


QEMU = f"/usr/bin/qemu-system-x86_64 -name sandbox-{SID} -uuid {UUID} -machine q35,accel=kvm"


SHIM = f"/usr/local/bin/containerd-shim-kata-v2 -namespace k8s.io -address /run/containerd/containerd.sock -id {SID}"


CREATE = f"/usr/bin/kata-runtime --log {BUNDLE}/log.json create --bundle {BUNDLE} --pid-file {BUNDLE}/init.pid"


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, Roots]]:
    """The roots of each layout at the paths that its runtime uses on every host."""
    with roots_of("kata_store", Path("/")) as store, roots_of("kata_persist", Path("/")) as persist:
        with roots_of("kata_rs", Path("/")) as rust:
            yield {"kata_store": store, "kata_persist": persist, "kata_rs": rust}


READING = Reading(SID, containers=(CID,))


def process(argv: str | tuple[str, ...], exe: str | None = "", **more: Any) -> Process:
    """A process by its command line. exe: empty for that of the command line."""
    words = tuple(argv.split()) if isinstance(argv, str) else argv
    program = words[0].rsplit("/", 1)[-1] if words else "exe"
    executable = (words[0] if words else None) if exe == "" else exe
    one = Process(4711, 1, "S", 100, program, executable, words, "/", "/", ("/user.slice",), 0, True, False)
    return one._replace(**more)


def claim(
    hosts: dict[str, Roots],
    layout: str,
    one: Process,
    pids: tuple[int, ...] | None = (4711,),
    reading: Reading = READING,
) -> Claim | None:
    return layout_of(layout).claim(one, pids, hosts[layout], reading)
