# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the other tests of this folder stand on: both virtiofsd, outside of any special host, and their guests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.file_daemon import EXECUTABLES, FileDaemon
from ansible_collections.sandboxed.containers.tests.lab.guest import Guest, GuestFailed, kernel
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

pytestmark = [pytest.mark.real, pytest.mark.long]
GREETING = "hello from the host"


@pytest.fixture(params=list(EXECUTABLES))
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileDaemon]:
    """One of each dialect, which serves a share with one file."""
    share = tmp_path / "share"
    share.mkdir()
    (share / "hello").write_text(f"{GREETING}\n", encoding="utf-8")
    try:
        kernel()
        started = FileDaemon(request.param, tmp_path / "share.sock", share)
    except Unavailable as exc:
        pytest.skip(str(exc))
    with started:
        yield started


@pytest.mark.parametrize(("dialect", "says"), [("rust", "virtiofsd 1.13"), ("c", "virtiofsd version 7.2")])
def test_executable_runs_anywhere_in_an_empty_environment(dialect: str, says: str) -> None:
    try:
        executable = EXECUTABLES[dialect]()
    except Unavailable as exc:
        pytest.skip(str(exc))
    done = subprocess.run([executable, "--version"], env={}, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, executable.name) == (0, "virtiofsd")
    assert says in done.stdout


def test_guest_reads_and_writes_the_share(daemon: FileDaemon, tmp_path: Path) -> None:
    """It ends by itself when the guest has left, and leaves its socket file."""
    guest = Guest(daemon.socket_path)
    assert guest.run() == GREETING
    assert (tmp_path / "share/written").read_text(encoding="utf-8") == "from-guest\n"
    assert daemon.wait() == 0
    assert daemon.socket_path.is_socket()
    assert guest.pid == 0


def test_guest_that_stays_is_a_client_until_it_is_switched_off(daemon: FileDaemon, tmp_path: Path) -> None:
    with Guest(daemon.socket_path, command="ls /mnt; echo 'two\nlines' > /mnt/written") as guest:
        assert guest.start() == "hello"
        assert (tmp_path / "share/written").read_text(encoding="utf-8") == "two\nlines\n"
        assert processes.lives(guest.pid)
        assert daemon.popen.poll() is None
    assert guest.pid == 0
    assert daemon.wait() == 0


def test_guest_says_why_it_failed(daemon: FileDaemon) -> None:
    """A tag that is too long for QEMU, then no daemon at all."""
    with pytest.raises(GuestFailed, match="tag property must be 36 bytes or less"):
        Guest(daemon.socket_path, tag="a" * 37).run()
    daemon.stop()
    with pytest.raises(GuestFailed, match="No such file or directory"):
        Guest(daemon.socket_path).run()
