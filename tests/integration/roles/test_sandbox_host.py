# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sandbox_host on a booted systemd: runtime directories, limits, and one message of all that is lacking.

The system is a container, so modules cannot be loaded in it, and of the limits only those of its network are its own.
"""

from __future__ import annotations

import re
import time

import pytest
from ansible_collections.sandboxed.containers.tests.lab import roles
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, refusal

pytestmark = pytest.mark.real
ROLE = "sandbox_host"
LIMITS = "/etc/sysctl.d/60-sandbox_host.conf"
TMPFILES = "/etc/tmpfiles.d/sandbox_host.conf"
BACKLOG = "net.core.somaxconn"


def limit(system: Booted) -> int:
    return int(system.must("cat", f"/proc/sys/{BACKLOG.replace('.', '/')}"))


@pytest.mark.long
def test_defaults_check_run_and_run_again(system: Booted) -> None:
    before = files(system)
    assert changes(roles.play(system, ROLE, {}, "--check", "--diff")) > 0
    assert files(system) == before
    assert changes(roles.play(system, ROLE, {})) > 0
    made = {"/run/containerd", "/run/containerd/runsc", "/run/runsc"}
    assert files(system) - before == {*made, TMPFILES, "/etc/modules-load.d/sandbox_host.conf"}
    assert set(system.must("stat", "-c", "%a %U %G", *made).splitlines()) == {"711 root root"}
    assert changes(roles.play(system, ROLE, {})) == 0


@pytest.mark.long
def test_directories_come_back_and_nothing_of_the_runtimes_is_cleaned(system: Booted) -> None:
    """Also where the administrator has all that is old in /tmp removed; a line of the role has no age and is no D."""
    changes(roles.play(system, ROLE, {"sandbox_host_runtimes": ["containerd", "gvisor", "kata"]}))
    lines = [line.split() for line in system.must("grep", "-v", "^#", TMPFILES).splitlines()]
    assert {line[0] for line in lines} == {"d", "x"}
    assert {line[5] for line in lines if line[0] == "d"} == {"-"}
    system.path("/etc/tmpfiles.d/tmp.conf").write_text("q /tmp 1777 root root 1s\n", encoding="utf-8")
    for name in ("runsc-web-1.sock", "other.sock"):
        system.must("python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).bind('/tmp/{name}')")
    system.must("touch", "/run/runsc/web-1_sandbox:web-1.state")
    time.sleep(1.5)
    system.must("systemd-tmpfiles", "--clean")
    left = system.must("ls", "/tmp", "/run/runsc").split()
    assert "runsc-web-1.sock" in left and "other.sock" not in left and "web-1_sandbox:web-1.state" in left
    system.must("rm", "-r", "/run/runsc", "/run/vc")
    assert changes(roles.play(system, ROLE, {"sandbox_host_runtimes": ["containerd", "gvisor", "kata"]})) > 0
    assert system.must("stat", "-c", "%a", "/run/runsc", "/run/vc/sbs").split() == ["711", "750"]
    system.must("rm", "-r", "/run/vc")
    system.must("systemd-tmpfiles", "--create", "--remove", "--boot")
    assert system.must("ls", "/run/vc").split() == ["sbs", "vm"]


@pytest.mark.long
def test_limits_are_raised_never_lowered_and_all_goes_again(system: Booted) -> None:
    before, high = files(system), limit(system) + 1000
    wanted = {"sandbox_host_limits": [{"name": BACKLOG, "minimum": str(high)}]}  # as -e gives it
    assert changes(roles.play(system, ROLE, wanted, "--check")) > 0
    assert limit(system) == high - 1000
    assert changes(roles.play(system, ROLE, wanted)) > 0
    assert limit(system) == high
    assert changes(roles.play(system, ROLE, wanted)) == 0
    enough = {"sandbox_host_limits": [{"name": BACKLOG, "minimum": 10}], "sandbox_host_kernel_modules": []}
    assert changes(roles.play(system, ROLE, enough)) > 0
    assert limit(system) == high, "a limit is not lowered"
    assert sorted(path for path in files(system) - before if path.startswith("/etc")) == [LIMITS, TMPFILES]
    assert f"{BACKLOG} = {high}" in system.must("cat", LIMITS).splitlines(), "the next boot has it too"
    gone = {"sandbox_host_state": "absent"}
    assert changes(roles.play(system, ROLE, wanted)) > 0
    assert changes(roles.play(system, ROLE, gone, "--check")) > 0
    assert changes(roles.play(system, ROLE, gone)) > 0
    assert [path for path in files(system) ^ before if not path.startswith("/run/")] == []
    assert changes(roles.play(system, ROLE, gone)) == 0


@pytest.mark.long
def test_one_message_has_all_that_the_host_lacks(system: Booted) -> None:
    """Python too, since nothing but a shell is needed for it; and nothing is changed."""
    variables = {
        "ansible_python_interpreter": "/usr/bin/python2",
        "sandbox_host_requirements": ["python", "cgroups", "overlay", "kvm", "vhost_vsock", "tun", "run_inodes"],
        "sandbox_host_kernel_modules": ["overlay", "no_such-module"],
        "sandbox_host_limits": [
            {"name": "kernel.no.such", "minimum": 1},
            {"name": "fs.inotify.max_user_instances", "minimum": 1 << 30},
            {"name": "net.ipv4.ip_local_port_range", "minimum": 1},
            {"name": BACKLOG, "minimum": 1 << 20},
        ],
        "sandbox_host_run_inodes": 1 << 30,
    }
    system.must("sh", "-c", "rm /usr/bin/python3*")
    before = files(system)
    message = refusal(roles.play(system, ROLE, variables))
    assert "booted lacks 8 of what is required:" in message
    for one in (
        "kernel module no_such-module: this is a container, which can load none; load it on the machine",
        "limit kernel.no.such: this kernel has none of that name",
        "limit net.ipv4.ip_local_port_range: it is '",
        "/dev/kvm: there is no such device",
        "/dev/vhost-vsock: there is no such device",
        "Python: there is none; the modules need 3.9 or newer",
    ):
        assert f"- {one}" in message
    assert re.search(
        r"limit fs\.inotify\.max_user_instances: it is \d+, not 1073741824, and cannot be changed", message
    )
    assert re.search(r"inodes on /run: \d+ of \d+ are free, 1073741824 are wanted", message)
    assert files(system) == before


@pytest.mark.long
def test_modules_are_loaded_and_what_they_bring_is_looked_for_after_it(system: Booted) -> None:
    """With a stand-in for modprobe, since no container may load any: it makes the device that the module would."""
    system.must("rm", "/run/systemd/container")
    variables = {
        "sandbox_host_requirements": ["vhost_vsock", "vhost_net"],
        "sandbox_host_kernel_modules": ["vhost_vsock", "vhost_net"],
    }
    assert "- kernel module vhost_net: there is no modprobe to load it" in refusal(roles.play(system, ROLE, variables))
    tool = system.path("/usr/sbin/modprobe")
    brings = '[ "$1" = --dry-run ] || [ "$1" != vhost_vsock ] || mknod /dev/vhost-vsock c 10 241\n'
    tool.write_text(f"#!/bin/sh\n{brings}", encoding="utf-8")
    tool.chmod(0o755)
    assert changes(roles.play(system, ROLE, variables, "--check")) > 0
    failed = roles.play(system, ROLE, variables)
    assert failed.code == 2 and "booted lacks 1 of what is required:\\n- /dev/vhost-net: there is no" in failed.output
    tool.write_text(f"#!/bin/sh\n{brings.replace('vsock', 'net')}", encoding="utf-8")
    assert changes(roles.play(system, ROLE, variables)) == 1
    assert changes(roles.play(system, ROLE, variables)) == 0


def test_old_python_is_named_with_its_version(system: Booted) -> None:
    system.must("sh", "-c", "rm /usr/bin/python3*; printf '#!/bin/sh\\necho 3.8\\n' > /usr/bin/python3")
    system.must("chmod", "+x", "/usr/bin/python3")
    variables = {"ansible_python_interpreter": "auto", "sandbox_host_requirements": ["python"]}
    assert "- Python: found 3.8; the modules need 3.9 or newer" in refusal(roles.play(system, ROLE, variables))


@pytest.mark.long
def test_wrong_names_are_refused(system: Booted) -> None:
    for variables, text in (
        ({"sandbox_host_kernel_modules": ["a; b"]}, "sandbox_host_kernel_modules has names of modules"),
        ({"sandbox_host_limits": [{"name": "../x", "minimum": 1}]}, "sandbox_host_limits names as"),
        ({"sandbox_host_limits": [{"name": "a.b", "minimum": -1}]}, "Limit 'a.b': minimum must not be negative"),
        ({"sandbox_host_directories": [{"path": "/a b"}]}, "Directory '/a b': its path must be absolute"),
        ({"sandbox_host_directories": [{"path": "/run/a", "mode": 493}]}, "Directory '/run/a': its path"),
        ({"sandbox_host_requirements": ["luck"]}, "must be one or more of: systemd, python"),
    ):
        assert text in refusal(roles.play(system, ROLE, variables))
