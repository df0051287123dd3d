# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sandbox_virtiofsd on a booted systemd: its units serve real guests, one after the other."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sandboxed.containers.tests.lab import booted, processes, real_programs, roles
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted, run_playbook
from ansible_collections.sandboxed.containers.tests.lab.guest import Guest, kernel
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, checkout
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, refusal
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

pytestmark = pytest.mark.real
ROLE = "sandboxed.containers.sandbox_virtiofsd"
SHARE = {"name": "web-data", "shared_dir": "/srv/web data"}
SOCKET = "/run/virtiofsd/web-data.sock"
UNITS = ("virtiofsd@web-data.socket", "virtiofsd@web-data.service")


@pytest.fixture
def system() -> Iterator[Booted]:
    """A booted Debian 12 with a directory to share."""
    why = booted.available()
    if why:
        pytest.skip(why)
    try:
        kernel()
        started = Booted()
    except Unavailable as exc:
        pytest.skip(str(exc))
    with started:
        started.must("mkdir", SHARE["shared_dir"])
        (started.path(SHARE["shared_dir"]) / "hello").write_text("hello from the host\n", encoding="utf-8")
        yield started


def given_binary() -> dict[str, str]:
    """The variables of the daemon in Rust, installed from a URL."""
    binary = real_programs.standalone_virtiofsd()
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    return {
        "sandbox_virtiofsd_binary": f"file://{binary}",
        "sandbox_virtiofsd_binary_checksum": f"sha256:{digest}",
    }


def play(system: Booted, variables: dict[str, Any], *flags: str) -> Outcome:
    return roles.play(system, "sandbox_virtiofsd", variables, *flags)


def states(system: Booted) -> list[str]:
    """The states of the socket and of the service."""
    return system.run("systemctl", "is-active", *UNITS).output.split()


def serve(system: Booted, text: str, socket: str = SOCKET) -> None:
    """A guest reads and writes the share and leaves; the daemon ends with it."""
    guest = Guest(system.path(socket), command=f"cat /mnt/hello; echo {text} > /mnt/written")
    assert guest.run() == "hello from the host"
    assert (system.path(SHARE["shared_dir"]) / "written").read_text(encoding="utf-8") == f"{text}\n"
    processes.wait_until(lambda: states(system) == ["active", "inactive"], "the daemon to end")


@pytest.mark.long
def test_two_guests_one_after_the_other(system: Booted) -> None:
    changes(play(system, {**given_binary(), "sandbox_virtiofsd_shares": [SHARE]}))
    assert states(system) == ["active", "inactive"]
    serve(system, "first")
    serve(system, "second")
    assert system.must("systemctl", "--failed", "--no-legend") == ""


@pytest.mark.long
def test_example_of_the_README_works_and_a_second_run_changes_nothing(system: Booted) -> None:
    """On Debian 12, which has no package of the daemon in Rust, with a given binary: from a URL, then from here."""
    text = (checkout() / "roles/sandbox_virtiofsd/README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (book,) = yaml.safe_load(example)
    system.must("mkdir", "/srv/web", "/srv/builds")
    system.must("groupadd", "kvm")
    url = given_binary()
    path = {**url, "sandbox_virtiofsd_binary": url["sandbox_virtiofsd_binary"].replace("file://", "")}
    for binary, wanted in ((url, True), (path, False)):
        outcome = system.play([{**book, "hosts": "booted"}], "-e", json.dumps(binary))
        assert (changes(outcome) > 0) == wanted
    assert system.must("stat", "-c", "%a %U %G", "/run/virtiofsd/web.sock") == "660 root kvm"
    guest = Guest(system.path("/run/builds.sock"), command="mkdir /mnt/one && ls /mnt")
    assert guest.run() == "one"


@pytest.mark.long
def test_absent_removes_what_the_role_made_and_nothing_else(system: Booted) -> None:
    """Check mode tells so before; the given binary goes, a stranger's drop-in stays."""
    before = files(system)
    shares = [SHARE, {"name": "other", "shared_dir": "/srv", "socket_path": "/run/other.sock", "socket_mode": "0660"}]
    variables = {**given_binary(), "sandbox_virtiofsd_shares": shares}
    ahead = changes(play(system, variables, "--check", "--diff"))
    assert ahead > 0
    assert files(system) == before
    changes(play(system, variables))
    assert system.must("stat", "-c", "%a %U", "/run/other.sock") == "660 root"
    theirs = "/etc/systemd/system/virtiofsd@other.service.d/theirs.conf"
    system.path(theirs).write_text("[Service]\nNice=5\n", encoding="utf-8")
    gone = {"sandbox_virtiofsd_state": "absent"}
    assert changes(play(system, gone, "--check")) > 0
    assert states(system) == ["active", "inactive"]
    assert changes(play(system, gone)) > 0
    assert files(system) - before == {theirs, str(Path(theirs).parent)}
    assert before - files(system) == set()
    assert system.must("systemctl", "list-units", "--all", "--no-legend", "virtiofsd@web*") == ""
    assert changes(play(system, gone)) == 0


@pytest.mark.long
def test_share_in_use_is_neither_moved_nor_removed_unless_forced(system: Booted) -> None:
    """Other options of the daemon are for the next guest, and do not touch this one."""
    binary = given_binary()
    changes(play(system, {**binary, "sandbox_virtiofsd_shares": [SHARE]}))
    with Guest(system.path(SOCKET), command="cat /mnt/hello") as guest:
        assert guest.start() == "hello from the host"
        daemon = system.must("systemctl", "show", "-P", "MainPID", UNITS[1])
        assert changes(play(system, {**binary, "sandbox_virtiofsd_shares": [{**SHARE, "cache": "never"}]})) > 0
        moved = {**binary, "sandbox_virtiofsd_shares": [{**SHARE, "cache": "never", "socket_path": "/run/moved.sock"}]}
        for no in ("false", False):  # the first as -e gives it
            kept = {**moved, "sandbox_virtiofsd_force": no}
            assert "Share 'web-data' serves a virtual machine" in refusal(play(system, kept))
        removed = {**binary, "sandbox_virtiofsd_shares": [{"name": "web-data", "state": "absent"}]}
        assert "Share 'web-data' serves a virtual machine" in refusal(play(system, removed))
        gone = {"sandbox_virtiofsd_state": "absent"}
        assert "Share 'web-data' serves a virtual machine" in refusal(play(system, gone))
        assert system.must("systemctl", "show", "-P", "MainPID", UNITS[1]) == daemon
        assert changes(play(system, {**moved, "sandbox_virtiofsd_force": True})) > 0
        assert states(system) == ["active", "inactive"]
    assert not system.path(SOCKET).exists()
    serve(system, "moved", "/run/moved.sock")
    assert "--cache=never" in system.must("systemctl", "cat", UNITS[1])
    assert changes(play(system, removed)) > 0
    assert states(system) == ["inactive", "inactive"]
    assert changes(play(system, removed)) == 0


@pytest.mark.long
def test_package_of_the_distribution_with_the_daemon_in_C(system: Booted) -> None:
    """A package that the role has installed goes with it, but not if something else needs it by then."""
    share = {**SHARE, "cache": "never", "sandbox_mode": "chroot", "announce_submounts": True, "xattr": True}
    variables = {"sandbox_virtiofsd_dialect": "c", "sandbox_virtiofsd_shares": [share]}
    changes(play(system, variables))
    serve(system, "first")
    serve(system, "second")
    assert changes(play(system, variables)) == 0
    daemon = system.path("/usr/lib/qemu/virtiofsd")
    gone = {"sandbox_virtiofsd_state": "absent"}
    changes(play(system, gone))
    assert not daemon.exists()
    assert states(system) == ["inactive", "inactive"]
    changes(play(system, {**variables, "sandbox_virtiofsd_shares": []}))
    assert daemon.exists()
    install_what_needs(system, "qemu-system-common")
    changes(play(system, gone))
    assert daemon.exists()
    assert not system.path("/var/lib/sandbox_virtiofsd").exists()


@pytest.mark.long
def test_without_a_package_of_the_daemon_in_Rust_it_says_what_would_help(system: Booted) -> None:
    message = refusal(play(system, {"sandbox_virtiofsd_shares": [SHARE]}))
    assert "No package matching 'virtiofsd' is available. Debian 12 has no daemon in Rust: set" in message
    assert "sandbox_virtiofsd_dialect=c for the one in C, or give sandbox_virtiofsd_binary." in message


def install_what_needs(system: Booted, package: str) -> None:
    """Install an empty package that depends on it."""
    names = "Package: needs-it\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x"
    control = f"{names}\nDepends: {package}\n"
    system.must("mkdir", "-p", "/tmp/needs-it/DEBIAN")
    system.path("/tmp/needs-it/DEBIAN/control").write_text(control, encoding="utf-8")
    system.must("dpkg-deb", "--build", "/tmp/needs-it")
    system.must("dpkg", "--install", "/tmp/needs-it.deb")


@pytest.mark.long
def test_broken_daemon_is_a_failed_unit_and_the_next_run_mends_it(system: Booted) -> None:
    binary = given_binary()
    broken = {**SHARE, "extra_args": ["--no-such-option"]}
    changes(play(system, {**binary, "sandbox_virtiofsd_shares": [broken]}))
    with Guest(system.path(SOCKET)) as guest:
        with pytest.raises(Exception, match=r"too long|ended early"):
            guest.start(timeout=5)
    processes.wait_until(lambda: states(system) == ["failed", "failed"], "systemd to give up")
    assert changes(play(system, {**binary, "sandbox_virtiofsd_shares": [SHARE]})) > 0
    serve(system, "mended")


@pytest.mark.long
def test_units_of_somebody_else_are_not_written_over(system: Booted) -> None:
    theirs = system.path("/etc/systemd/system/virtiofsd@.service")
    theirs.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    outcome = play(system, {**given_binary(), "sandbox_virtiofsd_shares": [SHARE]})
    assert "/etc/systemd/system/virtiofsd@.service is not made by this role" in refusal(outcome)
    assert changes(play(system, {"sandbox_virtiofsd_state": "absent"})) == 0
    assert theirs.read_text(encoding="utf-8") == "[Service]\nExecStart=/bin/true\n"


SHARES = "sandbox_virtiofsd_shares"
HEX = "0" * 64
B_SOCKET = "/run/virtiofsd/b.sock"
# What is wrong, and a piece of the message.
WRONG = [
    ({SHARES: [{"name": "a b", "shared_dir": "/"}]}, "Share 'a b': a name has letters, digits and the characters"),
    ({SHARES: [{"name": "../x", "shared_dir": "/"}]}, "Share '../x': a name has letters, digits and the characters"),
    ({SHARES: [{"name": "x", "shared_dir": "/"}] * 2}, "a name is used more than once: x, x"),
    (
        {SHARES: [{"name": "a", "shared_dir": "/", "socket_path": B_SOCKET}, {"name": "b", "shared_dir": "/"}]},
        f"a socket is used more than once: {B_SOCKET}, {B_SOCKET}",
    ),
    (
        {SHARES: [{"name": "taken", "shared_dir": "/", "socket_path": "/etc/passwd"}]},
        "Share 'taken': /etc/passwd is there, and not of this role",
    ),
    ({SHARES: [{"name": "nowhere"}]}, "Share 'nowhere': shared_dir is \\\"\\\", and must be an absolute"),
    ({SHARES: [{"name": "relative", "shared_dir": "srv"}]}, "Share 'relative': shared_dir is \\\"srv\\\", and"),
    (
        {SHARES: [{"name": "file", "shared_dir": "/etc/passwd"}]},
        "Share 'file': /etc/passwd is no directory of",
    ),
    ({SHARES: [{"name": "l" * 90, "shared_dir": "/"}]}, 'l.sock\\", and must be an absolute path of at most 107 bytes'),
    ({SHARES: [{"name": "mode", "shared_dir": "/", "socket_mode": 384}]}, "Share 'mode': socket_mode is 384, and must"),
    ({SHARES: [{"name": "lines", "shared_dir": "/", "extra_args": ["a\nb"]}]}, "Share 'lines': extra_args has a"),
    ({SHARES: [{"name": "x", "shared_dir": "/", "cache": "none"}]}, "value of cache must be one of: auto, always,"),
    (
        {SHARES: [{"name": "c-1", "shared_dir": "/", "cache": "metadata"}], "sandbox_virtiofsd_dialect": "c"},
        "Share 'c-1': virtiofsd in C knows neither cache metadata nor sandbox_mode none",
    ),
    (
        {SHARES: [{"name": "c-2", "shared_dir": "/a,b"}], "sandbox_virtiofsd_dialect": "c"},
        "Share 'c-2': virtiofsd in C knows neither",
    ),
    ({"sandbox_virtiofsd_binary": "/bin/true"}, "sandbox_virtiofsd_binary_checksum must be sha256: and 64"),
    (
        {"sandbox_virtiofsd_binary": "/bin/true", "sandbox_virtiofsd_binary_checksum": f"sha256:{HEX}"},
        f"/bin/true on the controller is not the file with the checksum sha256:{HEX}",
    ),
]


@pytest.mark.long
def test_wrong_input_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    """All in one play, in check mode on this machine."""
    role = {"name": ROLE}
    blocks = [
        {
            "block": [{"ansible.builtin.include_role": role, "vars": variables}],
            "rescue": [{"ansible.builtin.debug": {"msg": f"refused {number}"}}],
        }
        for number, (variables, _message) in enumerate(WRONG)
    ]
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    plays = [{"hosts": "here", "gather_facts": False, "tasks": blocks}]
    outcome = run_playbook(tmp_path, plays, {"here": local}, "--check")
    assert changes(outcome, "here") == 0
    assert [n for n in range(len(WRONG)) if f'"msg": "refused {n}"' not in outcome.output] == []
    assert [message for _variables, message in WRONG if message not in outcome.output] == []
