# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles have in common: a package where apt has no lists yet, as on the image of a cloud."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.roles import changes
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

pytestmark = pytest.mark.real


def offer(system: Booted, name: str) -> None:
    """An empty package, in a repository of the host itself; apt has not read it yet."""
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    system.must("mkdir", "-p", f"/srv/{name}/DEBIAN")
    system.path(f"/srv/{name}/DEBIAN/control").write_text(control, encoding="utf-8")
    system.must("dpkg-deb", "--build", f"/srv/{name}")
    packed = system.path(f"/srv/{name}.deb").read_bytes()
    entry = f"{control}Filename: ./{name}.deb\nSize: {len(packed)}\nSHA256: {hashlib.sha256(packed).hexdigest()}\n"
    system.path("/srv/Packages").write_text(entry, encoding="utf-8")
    system.must("sh", "-c", "rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/*")
    system.path("/etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv ./\n", encoding="utf-8")


def install(system: Booted, name: str, *flags: str) -> Outcome:
    include = {"name": "sandboxed.containers.sandbox_common", "tasks_from": "install"}
    given = {"sandbox_common_package": name, "sandbox_common_records": "/var/lib/records"}
    tasks = [{"ansible.builtin.include_role": include, "vars": given}]
    return system.play([{"hosts": "booted", "gather_facts": False, "tasks": tasks}], *flags)


@pytest.mark.long
def test_a_package_is_installed_where_apt_has_no_lists_yet(system: Booted) -> None:
    offer(system, "bare")
    assert changes(install(system, "bare", "--check")) > 0
    assert system.run("dpkg", "-s", "bare").code != 0
    assert changes(install(system, "bare")) > 0
    assert system.must("cat", "/var/lib/records/package") == "bare"
    assert changes(install(system, "bare")) == 0
    system.must("sh", "-c", "rm -rf /var/lib/apt/lists/*")
    assert changes(install(system, "bare", "--check")) == 0
    assert changes(install(system, "bare")) == 0, "lists alone are no change"
    refused = install(system, "no-such-package")
    assert refused.code == 2 and "No package matching 'no-such-package'" in refused.output, refused.output
