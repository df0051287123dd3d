# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet gets gVisor by the playbook, runs it, crashes, is audited, and is pruned while it gets a newer one."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.fleet.sights import AUDIT, PRUNE, changed
from ansible_collections.sandboxed.containers.tests.lab import fleet, processes
from ansible_collections.sandboxed.containers.tests.lab.fleet import Fleet, Member
from ansible_collections.sandboxed.containers.tests.lab.packages import package

pytestmark = [pytest.mark.real, pytest.mark.long]
PROVISION = "sandboxed.containers.provision"
RUNSC = "/usr/local/bin/runsc"
# A network namespace without a way out, and no cgroups of its own.
HOW = ("--platform=ptrace", "--network=none", "--ignore-cgroups")


def given(suite: str = "") -> dict[str, Any]:
    """The variables of the inventory: a runsc that the controller has."""
    runsc = package("runsc", suite) / "usr/bin/runsc"
    checksum = hashlib.sha256(runsc.read_bytes()).hexdigest()
    return {
        "sandbox_provision_roles": ["gvisor"],
        "sandbox_gvisor_runsc": str(runsc),
        "sandbox_gvisor_runsc_checksum": f"sha256:{checksum}",
    }


def run(member: Member, name: str) -> None:
    """A container on a host, which sleeps."""
    programs = member.path(f"/srv/{name}/rootfs/bin")
    if not programs.exists():
        programs.mkdir(parents=True)
        shutil.copy2(package("busybox-static") / "bin/busybox", programs / "sleep")
        member.must(RUNSC, "spec", "--bundle", f"/srv/{name}", "--", "/bin/sleep", "1000")
    words = [RUNSC, *HOW, "run", "--detach", "--bundle", f"/srv/{name}", name]
    member.must("sh", "-c", f"{shlex.join(words)} </dev/null >/dev/null 2>&1")


def kernels(member: Member, name: str) -> list[int]:
    """The gVisor kernel of a container, by our own numbers."""
    return [
        pid for pid in member.pids() if (words := processes.argv(pid)) and words[0] == "runsc-sandbox" and name in words
    ]


def crash(member: Member, name: str) -> None:
    processes.kill(*kernels(member, name))
    processes.wait_until(lambda: not kernels(member, name), f"{name} to end on {member.name}")


def test_provision_crash_audit_and_prune_while_it_is_provisioned_anew(start: Callable[[int], Fleet]) -> None:
    """A version is switched while containers run on the old one, and leftovers go at the same time."""
    hosts = start(3)
    members = list(hosts.hosts.values())
    crashed = members[::2]
    assert changed(hosts.play(PROVISION, **given())) == set(hosts.hosts)
    for member in members:
        run(member, "web-1")
        run(member, "web-2")
    alive = {member.name: kernels(member, "web-2") for member in members}
    for member in crashed:
        crash(member, "web-1")
    audited = hosts.play(AUDIT)
    assert fleet.words(audited.output)[0] == "3 hosts: 1 clean, 2 with leftovers, 0 with something unknown."

    newer = given("-backports")
    provisioning = hosts.begin(PROVISION, **newer)
    assert changed(hosts.play(PRUNE)) == {member.name for member in crashed}
    assert changed(hosts.end(provisioning)) == set(hosts.hosts)
    again = hosts.play(AUDIT)
    assert fleet.words(again.output)[0] == "3 hosts: 3 clean, 0 with leftovers, 0 with something unknown."
    assert {member.name: kernels(member, "web-2") for member in members} == alive
    assert all(kernels(member, "web-1") for member in members if member not in crashed)
    for member in crashed:
        run(member, "web-1")
        assert kernels(member, "web-1")
    assert changed(hosts.play(PROVISION, **newer)) == set()
