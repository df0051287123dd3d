# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that may own a sandbox of Kata, and those that have nothing to do with it (safety.md A1, A8)."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    SID,
    layout_of,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata_processes import (
    JAIL,
    READING,
    SHORT,
    claim,
    hosts,
    process,
)

__all__ = ["hosts"]


UNDECIDED = {
    "an editor": f"vi {SID}",
    "a client of the engine": f"ctr -n k8s.io tasks ls {SID}",
    "libvirt's virtiofsd": f"/usr/libexec/virtiofsd --fd=31 -o source=/srv/{SID}/data,xattr",
    "a machine of somebody else": f"/usr/bin/qemu-system-x86_64 -drive file=/srv/images/{SID}.d/{SID}/disk.raw",
    "a machine by its name alone": f"/usr/bin/qemu-system-x86_64 -name {SID}",
    "virtiofsd by descriptor alone": f"/opt/kata/libexec/virtiofsd --fd=3 --shared-dir={SID}",
    "another root": f"/opt/kata/libexec/virtiofsd --fd=3 --shared-dir=/srv/kata/shared/sandboxes/{SID}/shared",
    "a jailer": f"/usr/bin/jailer --id {SHORT} --exec-file /usr/bin/firecracker --chroot-base-dir /run/vc",
    "the factory": f"/usr/bin/kata-runtime factory init --template {SID}",
    "a monitor": f"kata-monitor --listen {SID}",
    "the directory that holds it": f"/opt/kata/libexec/virtiofsd --fd=3 --shared-dir=/run/vc/vm/x/{SID}",
}


@pytest.mark.parametrize("line", UNDECIDED.values(), ids=UNDECIDED)
def test_A1_whoever_names_it_may_own_it_and_is_never_stopped(hosts: dict[str, Roots], line: str) -> None:
    found = claim(hosts, "kata_persist", process(line))
    assert found is not None
    assert (found.proved, found.stop_order, found.why) == (False, None, "names it in its arguments")


NOBODY = {
    "an id inside a word": f"vi notes-{SID}",
    "an id in a longer id": f"qemu-system-x86_64 -pidfile /run/vc/vm/{SID}0/pid",
    "a file of that name with an ending": f"/bin/cat /run/vc/sbs/{SID}.json",
    "another firecracker": f"/usr/bin/firecracker --id {SHORT[:-1]}",
    "a firecracker of more characters": f"/usr/bin/firecracker --id {SID[:33]}",
    "the directory of all": "/opt/kata/libexec/virtiofsd --fd=3 --shared-dir=/run/kata-containers/shared/sandboxes",
    "nothing": "",
}


@pytest.mark.parametrize("line", NOBODY.values(), ids=NOBODY)
def test_A8_what_has_nothing_to_do_with_it(hosts: dict[str, Roots], line: str) -> None:
    assert claim(hosts, "kata_persist", process(line)) is None


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_A8_a_jailed_firecracker_has_the_first_32_characters(hosts: dict[str, Roots], layout: str) -> None:
    """Its arguments carry nothing else, and Kata may have removed its directory while it lives."""
    jailed = process(f"firecracker --id {SHORT} --start-time-us 94679 --config-file fcConfig.json", exe="/firecracker")
    for root, proved in ((JAIL, True), ("/", False)):
        found = claim(hosts, layout, jailed._replace(root=root))
        assert found is not None and found.proved is proved
        assert found.stop_order == (2 if proved else None)
    assert SHORT in layout_of(layout).tokens(hosts[layout], READING)


def test_RS5_the_rust_runtimes_jail_has_the_whole_name(hosts: dict[str, Roots]) -> None:
    jailed = process(f"firecracker --id {SID} --api-sock /run/fc.sock", exe="/firecracker")
    found = claim(hosts, "kata_rs", jailed._replace(root=f"/run/kata/firecracker/{SID}/root"))
    assert found is not None and (found.proved, found.why) == (True, "runs its machine")
    cut = process(f"firecracker --id {SHORT}", root=f"/run/kata/firecracker/{SHORT}/root")
    assert claim(hosts, "kata_rs", cut) is None, "that is another sandbox"
    assert SHORT not in layout_of("kata_rs").tokens(hosts["kata_rs"], READING)
