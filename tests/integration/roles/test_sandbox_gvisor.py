# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sandbox_gvisor on a booted systemd, with both of Debian's runsc and containerd 1.7 and 2.

Debian has no containerd-shim-runsc-v1, so a script stands in for it where the role installs one: nothing starts it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import processes, roles, runsc
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import package
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, inodes, install_containerd, refusal

pytestmark = pytest.mark.real
ROLE = "sandbox_gvisor"
GONE = {"sandbox_gvisor_state": "absent"}
VERSIONS, SHIM = "/usr/local/lib/sandbox_gvisor", "containerd-shim-runsc-v1"
FLAGS = ("--platform=ptrace", "--network=none", "--ignore-cgroups")


def given(version: str, url: bool = True) -> dict[str, Any]:
    """The variables of one of Debian's versions, and its options for a container without a network."""
    binary = runsc.binary(version).resolve()
    return {
        "sandbox_gvisor_runsc": f"file://{binary}" if url else os.path.relpath(binary),
        "sandbox_gvisor_runsc_checksum": f"sha256:{hashlib.sha256(binary.read_bytes()).hexdigest()}",
        "sandbox_gvisor_options": {"platform": "ptrace", "network": "none", "ignore_cgroups": True},
    }


def stand_in_shim(system: Booted) -> dict[str, Any]:
    text = "#!/bin/sh\nexit 1\n"
    system.path("/srv/shim").write_text(text, encoding="utf-8")
    checksum = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return {"sandbox_gvisor_shim": "file:///srv/shim", "sandbox_gvisor_shim_checksum": checksum}


def sandbox(system: Booted, program: str = "/usr/local/bin/runsc") -> int:
    """Run a container with it that sleeps; the pid of its sandbox, as the system sees it."""
    bundle = system.path("/srv/bundle")
    (bundle / "rootfs/bin").mkdir(parents=True, exist_ok=True)
    busybox = package("busybox-static") / "bin/busybox"
    (bundle / "rootfs/bin/sleep").write_bytes(busybox.read_bytes())
    (bundle / "rootfs/bin/sleep").chmod(0o755)
    config = runsc.bundle_config(["/bin/sleep", "1000"], {})
    (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
    start = f"{program} --root=/run/runsc {' '.join(FLAGS)} run --detach --bundle=/srv/bundle --pid-file=/srv/pid web-1"
    system.must("sh", "-c", f"{start} >/dev/null 2>&1 </dev/null")
    return int(system.must("cat", "/srv/pid"))


def versions(system: Booted) -> list[str]:
    return system.run("ls", VERSIONS).output.split()


@pytest.mark.long
def test_old_version_stays_while_a_sandbox_runs_on_it(system: Booted) -> None:
    before = files(system)
    assert changes(roles.play(system, ROLE, given("old"), "--check", "--diff")) > 0
    assert files(system) == before
    assert changes(roles.play(system, ROLE, given("old"))) > 0
    assert changes(roles.play(system, ROLE, given("old", url=False))) == 0
    (old,) = versions(system)
    pid = sandbox(system)
    assert changes(roles.play(system, ROLE, given("new"))) > 0
    assert old in versions(system) and len(versions(system)) == 2
    assert system.must("/usr/local/bin/runsc", "--version").split()[2] == runsc_version("new")
    in_use = refusal(roles.play(system, ROLE, GONE))
    assert f"gVisor is in use: {VERSIONS} by process" in in_use
    system.must("kill", "-9", str(pid))
    processes.wait_until(lambda: not running(system, old), "the sandbox to end")
    assert changes(roles.play(system, ROLE, given("new"))) == 1
    assert old not in versions(system) and len(versions(system)) == 1
    assert changes(roles.play(system, ROLE, GONE, "--check")) > 0
    assert changes(roles.play(system, ROLE, GONE)) > 0
    left = {path for path in files(system) ^ before if not path.startswith(("/srv", "/run/runsc"))}
    assert left <= {"/etc/containerd", "/etc/containerd/conf.d"}, left
    assert changes(roles.play(system, ROLE, GONE)) == 0


def runsc_version(version: str) -> str:
    return "0.0~20221219.0" if version == "old" else "0.0~20240729.0"


def running(system: Booted, version: str) -> bool:
    words = ["find", "/proc", "-mindepth", "2", "-maxdepth", "2", "-name", "exe", "-lname", f"{VERSIONS}/{version}/*"]
    return bool([line for line in system.run(*words).output.splitlines() if line.endswith("/exe")])


@pytest.mark.long
def test_old_version_stays_while_a_bundle_names_its_shim(system: Booted) -> None:
    """containerd deletes a live bundle whose shim is gone."""
    shim = stand_in_shim(system)
    changes(roles.play(system, ROLE, {**given("old"), **shim}))
    (old,) = versions(system)
    bundle = Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io/web-1")
    system.must("mkdir", "-p", str(bundle))
    system.path(str(bundle / "shim-binary-path")).write_text(f"{VERSIONS}/{old}/{SHIM}", encoding="utf-8")
    assert changes(roles.play(system, ROLE, {**given("new"), **shim})) > 0
    assert old in versions(system)
    assert f"{bundle}/shim-binary-path" in refusal(roles.play(system, ROLE, GONE))
    system.must("rm", "-r", str(bundle))
    assert changes(roles.play(system, ROLE, {**given("new"), **shim})) == 1
    assert old not in versions(system)


@pytest.mark.long
def test_containerd_2_reads_the_handler(system: Booted) -> None:
    """Its own dump has it, beside the one of runc; another configuration is not touched."""
    install_containerd(system, "sid")
    known = {**given("new"), **stand_in_shim(system)}
    assert changes(roles.play(system, ROLE, known)) > 0
    dump = ["/usr/local/bin/containerd", "--config", "/etc/containerd/config.toml", "config", "dump"]
    read = system.must(*dump)
    assert "containerd.runtimes.runsc]" in read and "containerd.runtimes.runc]" in read
    assert "ConfigPath = '/etc/containerd/runsc.toml'" in read
    toml = system.must("cat", "/etc/containerd/runsc.toml")
    assert 'binary_name = "/usr/local/bin/runsc"' in toml
    assert toml.endswith('[runsc_config]\n"ignore-cgroups" = "true"\n"network" = "none"\n"platform" = "ptrace"')
    assert changes(roles.play(system, ROLE, known)) == 0
    changes(roles.play(system, ROLE, GONE))
    assert system.run("ls", "/etc/containerd/config.toml").code != 0
    system.path("/etc/containerd/config.toml").write_text("version = 3\n", encoding="utf-8")
    assert changes(roles.play(system, ROLE, known)) > 0
    assert "containerd.runtimes.runsc]" in system.must(*dump)
    changes(roles.play(system, ROLE, GONE))
    assert system.must("cat", "/etc/containerd/config.toml") == "version = 3"


@pytest.mark.long
def test_containerd_1_reads_it_and_runcs_shim_gets_a_script(system: Booted) -> None:
    """As Debian has it: no shim of gVisor's. The script starts a real sandbox with the options."""
    install_containerd(system, "trixie")
    outcome = roles.play(system, ROLE, given("new"))
    assert changes(outcome) > 0
    read = system.must("/usr/local/bin/containerd", "config", "dump")
    assert "containerd.runtimes.runc]" in read and 'BinaryName = "/usr/local/bin/runsc-with-options"' in read
    script = system.must("cat", "/usr/local/bin/runsc-with-options")
    assert script.endswith('exec /usr/local/bin/runsc --ignore-cgroups=true --network=none --platform=ptrace "$@"')
    pid = sandbox(system, "/usr/local/bin/runsc-with-options")
    assert "--platform=ptrace" in system.must("cat", f"/proc/{pid}/cmdline")
    system.must("kill", "-9", str(pid))
    bundle = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/web-1"
    system.must("mkdir", "-p", bundle)
    system.path(f"{bundle}/options.json").write_text('{"BinaryName":"/usr/local/bin/runsc-with-options"}')
    assert f"runsc-with-options by {bundle}/options.json" in refusal(roles.play(system, ROLE, GONE))


@pytest.mark.long
def test_options_of_somebody_else_are_not_written_over(system: Booted) -> None:
    system.must("mkdir", "/etc/containerd")
    system.path("/etc/containerd/runsc.toml").write_text("theirs", encoding="utf-8")
    assert "/etc/containerd/runsc.toml: not made by this role" in refusal(roles.play(system, ROLE, given("new")))
    system.must("mv", "/etc/containerd/runsc.toml", "/srv")
    assert changes(roles.play(system, ROLE, GONE)) == 0


@pytest.mark.long
def test_package_goes_with_the_role_unless_a_sandbox_runs(system: Booted) -> None:
    before = files(system)
    options = {"sandbox_gvisor_options": {"platform": "ptrace", "debug": False}}
    assert changes(roles.play(system, ROLE, options)) > 0
    assert changes(roles.play(system, ROLE, options)) == 0
    assert "--debug=false" in system.must("cat", "/usr/local/bin/runsc-with-options")
    pid = sandbox(system, "/usr/bin/runsc")
    assert "gVisor is in use: /usr/bin/runsc by process" in refusal(roles.play(system, ROLE, GONE))
    system.must("kill", "-9", str(pid))
    processes.wait_until(lambda: system.run("pidof", "runsc", "runsc-sandbox", "runsc-gofer").output == "", "its end")
    assert changes(roles.play(system, ROLE, GONE)) > 0
    assert system.run("ls", "/usr/bin/runsc").code != 0
    made = {
        path
        for path in files(system) - before
        if not path.startswith(("/srv", "/run/runsc", "/var/lib/dpkg", "/var/lib/apt"))
    }
    assert made <= {"/etc/containerd", "/etc/containerd/conf.d"}, made


@pytest.mark.long
def test_options_that_runsc_does_not_know_are_refused(system: Booted) -> None:
    old = {**given("old"), "sandbox_gvisor_options": {"platform": "systrap"}}
    message = roles.play(system, ROLE, old)
    assert message.code == 2 and "runsc does not take --platform=systrap" in " ".join(message.output.split())
    wrong = {**given("old"), "sandbox_gvisor_extra_options": {"no-such-flag": "1"}}
    message = roles.play(system, ROLE, wrong)
    assert message.code == 2 and "flag provided but not defined: -no-such-flag" in message.output
    assert system.run("ls", "/etc/containerd/runsc.toml").code != 0
    assert system.run("ls", VERSIONS).code != 0, "what was refused is not left"


@pytest.mark.long
def test_A4_a_runsc_is_judged_before_it_is_the_current_one(system: Booted) -> None:
    """One that does not take the options, and one that does not run on this machine."""
    changes(roles.play(system, ROLE, given("new")))
    before = inodes(system)
    other = "sandbox_gvisor_options"
    refused = roles.play(system, ROLE, {**given("old"), other: {"platform": "systrap"}})
    assert refused.code == 2 and "runsc does not take --platform=systrap" in " ".join(refused.output.split())
    text = b"\x7fELF of another machine"
    system.path("/srv/alien").write_bytes(text)
    checksum = f"sha256:{hashlib.sha256(text).hexdigest()}"
    alien = {"sandbox_gvisor_runsc": "file:///srv/alien", "sandbox_gvisor_runsc_checksum": checksum}
    refused = roles.play(system, ROLE, {**given("new"), **alien})
    assert refused.code == 2 and "file:///srv/alien does not run on this host: " in " ".join(refused.output.split())
    assert inodes(system) ^ before <= {one for one in inodes(system) if one.startswith("/srv")}
    refused = roles.play(system, ROLE, {**given("new"), "sandbox_gvisor_extra_options": {"no-such-flag": "1"}})
    assert refused.code == 2 and "-no-such-flag" in refused.output
    assert len(versions(system)) == 1, "the current one stays, whatever options are given"


@pytest.mark.long
def test_wrong_input_is_refused_before_anything_is_changed(system: Booted) -> None:
    checksum = f"sha256:{'0' * 64}"
    for variables, text in (
        ({"sandbox_gvisor_runsc": "/bin/true"}, "must be sha256: and 64 hexadecimal digits"),
        ({"sandbox_gvisor_shim": "/bin/true"}, "wants the sandbox_gvisor_runsc of its own version"),
        ({"sandbox_gvisor_runsc": "/bin/true", "sandbox_gvisor_runsc_checksum": checksum}, "is not the file with the"),
        ({"sandbox_gvisor_handler": "a b"}, "sandbox_gvisor_handler: 'a b': a name has"),
        ({"sandbox_gvisor_options": {"platform": "magic"}}, "value of platform must be one of: systrap, kvm, ptrace"),
    ):
        assert text in refusal(roles.play(system, ROLE, variables))
    system.path("/usr/local/bin/runsc").write_text("theirs", encoding="utf-8")
    theirs = {"sandbox_gvisor_runsc": "/bin/true", "sandbox_gvisor_runsc_checksum": checksum}
    assert "/usr/local/bin/runsc: not made by this role" in refusal(roles.play(system, ROLE, theirs))
