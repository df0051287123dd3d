# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a daemon that the collection starts: it serves a guest, is known again, and ends (V2 to V8)."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.virtiofsd.conftest import GREETING, RECORDS, Share
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Bare
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked
from ansible_collections.sandboxed.containers.tests.lab.guest import Guest

pytestmark = pytest.mark.real
# A guest takes three seconds of a processor: in the short run not each test has one of each dialect.
RUST_FIRST = pytest.mark.parametrize("dialect", ["rust", pytest.param("c", marks=pytest.mark.long)])
C_FIRST = pytest.mark.parametrize("dialect", ["c", pytest.param("rust", marks=pytest.mark.long)])


def test_a_guest_reads_and_writes_what_one_task_shares(share: Share) -> None:
    """And the same task twice changes nothing; when the guest has left, the next one starts it again."""
    pid = share.must_start()
    again = share.started()
    assert not again.changed and not again.failed, again.message
    assert again.answer["daemons"][0]["pid"] == pid
    assert Guest(share.socket_path).run() == GREETING
    assert (share.directory / "written").read_text(encoding="utf-8") == "from-guest\n"
    processes.wait_until(lambda: not share.family(), "the daemon to end with its client")
    assert share.look()["verdict"] == "leftover"
    assert share.must_start() != pid
    share.must_stop()
    assert share.stopped().unchanged, "stopping what is not there"


@RUST_FIRST
def test_a_daemon_with_a_client_is_not_stopped_unless_forced(share: Share) -> None:
    share.must_start()
    with Guest(share.socket_path, command="ls /mnt") as guest:
        assert guest.start() == "hello"
        found = share.look()
        assert (found["verdict"], found["clients"], found["pids"]) == ("live", 1, share.family()), found
        refused = share.stopped()
        assert refused.failed and "a client is connected" in refused.message and "force=true" in refused.message
        assert share.look()["clients"] == 1, "looking and refusing left it alone"
        share.must_stop(force=True)


def test_it_is_there_for_nobody_but_its_client(share: Share) -> None:
    """No terminal, no descriptor of the task's, a session and a cgroup of its own; the socket has the right owner."""
    os.chown(share.folder, 4711, 4712)
    pid = share.must_start()
    facts = share.socket_path.lstat()
    assert stat.S_ISSOCK(facts.st_mode) and (facts.st_uid, facts.st_gid) == (4711, 4712)
    assert os.getsid(pid) == pid and os.readlink(f"/proc/{pid}/cwd") == "/"
    links = {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert (links["0"], links["1"], links["2"]) == ("/dev/null", str(share.log), str(share.log)), links
    inherited = [link for link in links.values() if link.startswith("/run/lock") or "/pts/" in link]
    assert inherited == [] and not any(link.startswith(str(RECORDS)) for link in links.values()), links
    assert [line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if "/sandboxed-virtiofsd-" in line]


def test_the_record_is_whole_and_nobody_elses(share: Share) -> None:
    pid = share.must_start(extra_args=["--rlimit-nofile=1024"])
    record = json.loads(share.record.read_bytes())
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert (record["pid"], record["start_ticks"]) == (pid, int(fields[19]))
    assert record["command_line"] == processes.argv(pid)
    assert record["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert record["socket_file"][0][1] == share.socket_path.stat().st_ino
    assert stat.S_IMODE(share.record.stat().st_mode) == 0o600
    assert stat.S_IMODE(RECORDS.stat().st_mode) == 0o700


def test_other_options_are_refused_and_restart_it_when_allowed(share: Share) -> None:
    pid = share.must_start(cache="auto")
    refused = share.started(cache="never")
    assert refused.failed and "cache (auto, and never is wanted)" in refused.message, refused.message
    assert share.look()["pid"] == pid
    done = share.started(cache="never", on_change="restart")
    assert done.changed and done.answer["daemons"][0]["action"] == "updated", done.answer
    assert not processes.lives(pid) and share.look()["pid"] != pid
    assert share.started(cache="never").unchanged
    again = Forked("virtiofsd_daemon", {"name": share.name, "state": "restarted"}).result()
    assert again.changed and not again.failed, again.message
    (shown,) = {word for word in processes.argv(share.look()["pid"]) if "cache" in word}
    assert shown == ("cache=none" if share.dialect == "c" else "--cache=never"), "as it was"


def test_check_mode_and_diff_tell_what_the_run_does(share: Share) -> None:
    for state in ("started", "restarted", "stopped"):
        ask = {"state": state} if state != "stopped" else {}
        act = share.stopped if state == "stopped" else share.started
        checked = act(**ask, _ansible_check_mode=True, _ansible_diff=True)
        before = (share.family(), share.socket_path.exists(), share.record.exists())
        done = act(**ask, _ansible_diff=True)
        assert checked.changed and done.changed, (checked.message, done.message)
        assert checked.answer["diff"] == done.answer["diff"]
        assert before == ([], False, False) if state == "started" else before[1:] == (True, True)
    assert share.rests() == []


def test_V2_V3_the_socket_is_not_taken_from_a_daemon_that_lives(share: Share) -> None:
    """Its record is lost; it is found by its socket, without a connection, which would end it."""
    pid = share.must_start()
    share.record.unlink()
    refused = share.started()
    assert refused.failed and "listens on" in refused.message, refused.message
    assert any(f"virtiofsd (pid {one}," in refused.message for one in share.family())
    assert processes.lives(pid)
    (found,) = Forked("virtiofsd_daemon_info", {}).result().answer["daemons"]
    assert (found["pid"], found["socket_path"], found["verdict"]) == (pid, str(share.socket_path), "foreign"), found


def test_V3_a_stale_socket_is_replaced(share: Share) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(share.socket_path))
    assert share.must_start()
    assert share.look()["verdict"] == "live"


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_stays(share: Share, kind: str) -> None:
    target = share.folder / "precious"
    target.write_text("data", encoding="utf-8")
    if kind == "file":
        share.socket_path.write_text("data", encoding="utf-8")
    elif kind == "directory":
        share.socket_path.mkdir()
    else:
        share.socket_path.symlink_to(target)
    refused = share.started()
    assert refused.failed and "is no socket" in refused.message, refused.message
    assert target.read_text(encoding="utf-8") == "data" and share.socket_path.lstat()


def test_V4_a_reused_pid_survives(share: Share) -> None:
    from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

    pid = share.must_start()
    processes.kill(*share.family())
    with Crowd(Path("/run/lab/programs")) as crowd:
        decoy = crowd.start(Program("/usr/sbin/sshd", ["-D"]), pid=pid)
        found = share.look()
        assert found["verdict"] == "leftover" and f"recorded pid {pid} is now sshd" in found["evidence"][0], found
        assert share.stopped().changed
        assert decoy.lives() and share.rests() == []


def test_V4_a_reused_pid_of_the_same_program_survives(share: Share, other: Share) -> None:
    """The hardest one: another virtiofsd that serves another share has the number now."""
    from ansible_collections.sandboxed.containers.tests.lab import own_host

    pid = share.must_start()
    processes.kill(*share.family())
    own_host.take_pid(pid)
    found = other.must_start()
    assert share.stopped(force=True).changed
    assert processes.lives(found) and other.look()["verdict"] == "live"


@pytest.mark.parametrize("whose", ["parent", pytest.param("child", marks=pytest.mark.long)])
@RUST_FIRST
def test_one_of_its_two_processes_is_killed_alone(share: Share, whose: str) -> None:
    """The daemon in C has two from its first client on. Nothing of it is left, and it can be started again."""
    main = share.must_start()
    with Guest(share.socket_path, command="ls /mnt") as guest:
        guest.start()
        (child,) = (pid for pid in share.family() if pid != main)
        processes.kill(main if whose == "parent" else child)
        done = share.stopped(force=True)
        assert not done.failed, done.message
        assert share.rests() == []
    share.must_start()


def test_its_end_is_not_waited_for_longer_than_allowed(share: Share) -> None:
    """A stopped process is alive, and does not hear SIGTERM (safety.md A1)."""
    pid = share.must_start()
    os.kill(pid, 19)  # SIGSTOP
    assert share.look()["verdict"] == "live"
    assert share.started().unchanged
    done = share.stopped(stop_timeout=0.2)
    assert done.changed and not done.failed, done.message
    assert share.rests() == []


def test_V6_what_a_daemon_says_before_it_fails_is_told(share: Share) -> None:
    refused = share.started(extra_args=["--no-such-option"])
    assert refused.failed and "before it served" in refused.message and "--no-such-option" in refused.message
    assert "Nothing of it was kept." in refused.message and share.rests() == []


@pytest.mark.long
def test_it_runs_in_the_network_namespace_that_is_named(share: Share) -> None:
    subprocess.run(["ip", "netns", "add", "lab-vm"], check=True)
    pid = share.must_start(network_namespace="lab-vm", sandbox_mode="chroot")
    assert os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/run/netns/lab-vm").st_ino
    assert share.started(network_namespace="lab-vm", sandbox_mode="chroot").unchanged
    with Guest(share.socket_path, command="ls /mnt") as guest:
        assert guest.start() == "hello"
        assert share.look()["clients"] == 1
    refused = share.started(network_namespace="lab-none")
    assert refused.failed and "/run/netns/lab-none: No such file" in refused.message


@C_FIRST
def test_paths_may_be_awkward(share: Share, other: Share) -> None:
    """Commas and backslashes, which are libfuse's own signs; the longest path that a socket can have, and one more."""
    other.socket_path = Path(f"{share.folder}/".ljust(107, "s"))
    other.options["socket_path"] = str(other.socket_path)
    other.must_start()
    assert Guest(other.socket_path, command="cat /mnt/hello").run() == GREETING
    refused = share.started(socket_path=f"{other.socket_path}s")
    assert refused.failed and "has 108 bytes, and the path of a socket has at most 107" in refused.message


@pytest.mark.parametrize("dialect", ["c"])
def test_the_one_in_C_needs_dev_log_for_syslog(share: Share) -> None:
    """It dies at its first client otherwise."""
    if Path("/dev/log").exists():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM):
            Path("/dev/log").unlink()
    refused = share.started(log_file=None)
    assert refused.failed and "/dev/log does not exist" in refused.message and "log_file" in refused.message
    assert share.rests() == []


def test_two_tasks_start_one_daemon(share: Share) -> None:
    racers = [Bare("virtiofsd_daemon", share.options) for _number in range(6)]
    results = [racer.result() for racer in racers]
    assert [one.message for one in results if one.failed] == []
    assert [one.answer["daemons"][0]["action"] for one in results].count("created") == 1
    assert len({one.answer["daemons"][0]["pid"] for one in results}) == 1
    assert len(share.family()) == (2 if share.dialect == "rust" else 1)


def test_tasks_that_start_and_stop_it_leave_one_or_none(share: Share) -> None:
    stop = {"name": share.name, "state": "stopped"}
    racers = [Bare("virtiofsd_daemon", stop if number % 2 else share.options) for number in range(8)]
    failed = [one.message for one in (racer.result() for racer in racers) if one.failed]
    # Each that did not get its turn says that something else was done meanwhile, and did nothing.
    assert [one for one in failed if "meanwhile" not in one and "it changed while this task waited" not in one] == []
    assert share.look()["exists"] == bool(share.family())
    share.stopped()
    assert share.rests() == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "pid": "x"}'])
@pytest.mark.parametrize("dialect", ["rust"])
def test_an_unreadable_record_keeps_everything(share: Share, damage: str) -> None:
    pid = share.must_start()
    share.record.write_text(damage, encoding="utf-8")
    for refused in (share.started(), share.stopped(force=True)):
        assert refused.failed and "record" in refused.message, refused.message
    assert share.look()["verdict"] == "unknown"
    assert processes.lives(pid) and share.record.read_text(encoding="utf-8") == damage
