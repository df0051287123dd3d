# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import transient_units
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import RUST, C, Dialect, Share
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import OPTIONS
from ansible_collections.sandboxed.containers.plugins.module_utils._object import daemon_programs, daemon_wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import (
    DaemonWish,
    again,
    difference,
    order_of,
    plain_path,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout import support_virtiofsd


def program(folder: Path, says: str, name: str = "virtiofsd") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def wish(tmp_path: Path) -> DaemonWish:
    """One that can be had."""
    (tmp_path / "shared").mkdir()
    executable = program(tmp_path, "virtiofsd 1.13.2")
    share = Share(str(tmp_path / "shared"))
    return DaemonWish(
        "unit-web", "started", 10.0, socket_path=str(tmp_path / "s"), share=share, executable=executable,
        log_file=str(tmp_path / "log"),
    )  # fmt: skip


def refusal(wish: DaemonWish) -> str:
    with pytest.raises(InvalidInput) as refused:
        order_of(wish)
    return str(refused.value)


def test_the_order_holds_everything(wish: DaemonWish) -> None:
    assert wish.share is not None
    order = order_of(wish._replace(network_namespace="/proc/self/ns/net"))
    assert order.command_line == (wish.executable, "--fd=3", f"--shared-dir={wish.share.shared_dir}")
    assert (order.dialect, order.on_quit) == (Dialect(RUST, "1.13.2"), ())
    assert (order.log_file, order.network_namespace) == (wish.log_file, "/proc/self/ns/net")
    assert order.options.keys() == OPTIONS
    assert order.options["dialect"] == RUST and order.options["extra_args"] == []


def test_nothing_is_made_or_opened_for_good_by_looking(wish: DaemonWish, tmp_path: Path) -> None:
    before, descriptors = os.listdir(tmp_path), os.listdir("/proc/self/fd")
    order_of(wish._replace(network_namespace="/proc/self/ns/net"))
    assert os.listdir(tmp_path) == before and len(os.listdir("/proc/self/fd")) == len(descriptors)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"share": None}, "shared_dir: it is missing. Give the directory that is to be shared."),
        ({"socket_path": ""}, "socket_path: it is missing. Give the path of the socket that the VMM connects to."),
        ({"socket_path": "s.sock"}, "socket_path: 's.sock' is no absolute path of a file. Give one."),
        ({"socket_path": "/run/"}, "socket_path: '/run/' is no absolute path of a file. Give one."),
        ({"socket_path": "/nonexistent/s"}, "socket_path: its directory /nonexistent does not exist. Make it first."),
        ({"socket_path": "/dev/null/s"}, "socket_path: its directory /dev/null does not exist. Make it first."),
        ({"socket_path": "/" + "x" * 107}, "has 108 bytes, and the path of a socket has at most 107. Give"),
        ({"share": Share("srv")}, "shared_dir: 'srv' is no absolute path. Give the directory that is to be shared."),
        (
            {"share": Share("/nonexistent")},
            "shared_dir: /nonexistent: No such file or directory. Give a directory that is there.",
        ),
        ({"share": Share("/dev/null")}, "shared_dir: /dev/null: Not a directory. Give a directory that is there."),
        ({"executable": "/nonexistent"}, "executable: /nonexistent: No such file or directory. Install it, or"),
        ({"executable": "/"}, "executable: / is no program that can be run. Give the daemon's own path."),
        ({"executable": "/dev/null"}, "executable: /dev/null is no program that can be run."),
        ({"executable": "/etc/passwd"}, "executable: /etc/passwd is no program that can be run."),
        ({"log_file": "log"}, "log_file: 'log' is no absolute path of a file. Give one."),
        ({"log_file": "/nonexistent/log"}, "log_file: its directory /nonexistent does not exist. Make it first."),
        ({"log_file": ""}, "syslog: without it and without log_file its output would be lost. Give log_file."),
        (
            {"network_namespace": "/nonexistent"},
            "network_namespace: /nonexistent: No such file or directory. Give its name or path.",
        ),
        ({"network_namespace": "unit-none"}, "network_namespace: /run/netns/unit-none: No such file or directory."),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_in_words(wish: DaemonWish, changes: dict[str, Any], text: str) -> None:
    assert text in refusal(wish._replace(**changes))


def test_V1_the_shares_own_refusals_come_before_anything_is_done(wish: DaemonWish) -> None:
    assert wish.share is not None
    assert refusal(wish._replace(share=wish.share._replace(cache="none"))).startswith("cache: 'none'")


def test_the_one_in_c_needs_a_syslog_that_is_there(
    wish: DaemonWish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wish.share is not None
    monkeypatch.setattr(daemon_wish, "_SYSLOG", str(tmp_path / "devlog"))
    share = wish.share._replace(syslog=True)
    in_c = program(tmp_path, "virtiofsd version 7.2.22", "c")
    silent = wish._replace(share=share, log_file="")
    assert order_of(silent).command_line[-1] == "--syslog"  # the one in Rust goes on without
    why = "does not exist, and the virtiofsd in C dies without it as soon as a client connects"
    assert refusal(silent._replace(executable=in_c)) == f"syslog: {tmp_path}/devlog {why}. Give log_file."
    assert order_of(silent._replace(executable=in_c, log_file=wish.log_file)).dialect.name == C
    (tmp_path / "devlog").touch()
    assert "--syslog" in order_of(silent._replace(executable=in_c)).command_line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/bin/true", ("/bin/true",)),
        ("/bin/echo 'a b' \"c\" \\$HOME $HOME 100%", ("/bin/echo", "a b", "c", "$HOME", "$HOME", "100%")),
    ],
    ids=["a program", "words"],
)
def test_a_command_on_quit_is_split_as_a_shell_does(
    wish: DaemonWish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(transient_units, "is_booted", lambda: True)
    order = order_of(wish._replace(on_quit=given))
    assert order.on_quit == words and order.options["on_quit"] == given


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("/bin/echo 'a", "on_quit: it cannot be split into words: No closing quotation. Mind its quotes."),
        ("true", "on_quit: 'true' does not begin with the absolute path of a program. Give it."),
        (" ", "on_quit: ' ' does not begin with the absolute path of a program."),
        ("/nonexistent x", "on_quit: '/nonexistent x' does not begin with the absolute path of a program."),
        ("/etc x", "on_quit: '/etc x' does not begin with the absolute path of a program."),
        ("/etc/passwd", "on_quit: '/etc/passwd' does not begin with the absolute path of a program."),
        ("/bin/t --token=hunter2", "on_quit: '/bin/t --token=********' does not begin with"),
    ],
)
def test_a_command_on_quit_that_cannot_be_run(
    wish: DaemonWish, monkeypatch: pytest.MonkeyPatch, given: str, text: str
) -> None:
    monkeypatch.setattr(transient_units, "is_booted", lambda: True)
    assert text in refusal(wish._replace(on_quit=given))
    monkeypatch.setattr(transient_units, "is_booted", lambda: False)
    assert "no systemd runs here. Leave it out." in refusal(wish._replace(on_quit=given))


BASE = support_virtiofsd.OPTIONS


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"cache": "never"}, "cache (unset, and never is wanted)"),
        ({"xattr": True}, "xattr (false, and true is wanted)"),
        ({"thread_pool_size": 0}, "thread_pool_size (unset, and 0 is wanted)"),
        ({"log_file": ""}, "log_file (/var/log/unit-web.log, and unset is wanted)"),
        ({"extra_args": ["--token", "hunter2"]}, "extra_args"),
        ({"on_quit": "/bin/x --token hunter2"}, "on_quit"),
        (
            {"dialect": "c", "socket_path": "/run/x"},
            "socket_path (/run/unit-web.sock, and /run/x is wanted), dialect (rust, and c is wanted)",
        ),
    ],
    ids=["none", "unset", "flag", "zero", "unset again", "arguments", "command", "two"],
)
def test_the_difference_in_words(changes: dict[str, Any], text: str) -> None:
    assert difference(BASE, {**BASE, **changes}) == text
    assert bool(difference({**BASE, **changes}, BASE)) is bool(text)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"shared_dir": "/srv/unit-web/"}, True),
        ({"shared_dir": "//srv/unit-web///"}, True),
        ({"shared_dir": "/srv/./unit-web"}, False),
        ({"shared_dir": "/"}, False),
        ({"socket_path": "/run//unit-web.sock"}, True),
        ({"socket_path": "/run/unit-web.sock/"}, False),
        ({"executable": "/usr//libexec/virtiofsd"}, True),
        ({"log_file": "//var/log/unit-web.log"}, True),
        ({"network_namespace": "/run/netns/unit-net"}, False),
        ({"on_quit": "/bin/true //x"}, False),
        ({"extra_args": ["//x"]}, False),
    ],
)
def test_one_path_has_several_spellings(changes: dict[str, Any], same: bool) -> None:
    assert (difference(BASE, {**BASE, **changes}) == "") is same


@pytest.mark.parametrize("path", ["/run/netns/unit-net", "/run//netns/unit-net", "unit-net"])
def test_a_network_namespace_has_a_name_and_a_path(path: str) -> None:
    assert difference({**BASE, "network_namespace": "unit-net"}, {**BASE, "network_namespace": path}) == ""
    assert difference({**BASE, "network_namespace": path}, {**BASE, "network_namespace": "other"}) != ""


@pytest.mark.parametrize(
    ("path", "file", "directory"),
    [("/", "/", "/"), ("//", "/", "/"), ("/a//b/", "/a/b/", "/a/b"), ("/a/../b", "/a/../b", "/a/../b"), ("", "", "")],
)
def test_slashes_that_mean_nothing(path: str, file: str, directory: str) -> None:
    assert [plain_path(path), plain_path(path, is_directory=True)] == [file, directory]


def test_the_same_daemon_once_more() -> None:
    plain = DaemonWish("unit-web", "restarted", 3.0, force=True)
    options = {**BASE, "cache": "auto", "extra_args": ["--a", "b"], "on_quit": "/bin/true", "network_namespace": "/n"}
    wish = again(options, plain)
    assert wish == plain._replace(
        socket_path="/run/unit-web.sock",
        share=Share("/srv/unit-web", cache="auto", extra_args=("--a", "b")),
        executable="/usr/libexec/virtiofsd",
        dialect="rust",
        log_file="/var/log/unit-web.log",
        network_namespace="/n",
        on_quit="/bin/true",
    )


def test_an_order_that_is_taken_up_again_is_the_same(wish: DaemonWish) -> None:
    assert wish.share is not None
    wish = wish._replace(share=wish.share._replace(cache="auto", xattr=True, extra_args=("--readonly",)))
    order = order_of(wish)
    assert order_of(again(order.options, DaemonWish("unit-web", "restarted", 10.0))) == order
    assert difference(order.options, order.options) == ""


def test_the_first_executable_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [str(tmp_path / name) for name in ("a", "b", "c")]
    monkeypatch.setattr(daemon_programs, "PLACES", tuple(places))
    with pytest.raises(InvalidInput) as refused:
        daemon_programs.find_executable(None)
    assert str(refused.value) == f"executable: no virtiofsd is at {', '.join(places)}. Install it, or give its path."
    (tmp_path / "a").mkdir()
    program(tmp_path, "virtiofsd 1.0.0", "c")
    assert daemon_programs.find_executable(None) == places[2]
    program(tmp_path, "virtiofsd 1.0.0", "b")
    assert daemon_programs.find_executable(None) == places[1]


def test_an_executable_is_asked_once_and_again_when_it_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "virtiofsd"
    path.write_text(f"#!/bin/sh\necho x >>{tmp_path}/asked\necho virtiofsd 1.8.0\n")
    path.chmod(0o755)
    for _time in range(3):
        assert daemon_programs.ask(str(path)) == Dialect(RUST, "1.8.0")
    assert (tmp_path / "asked").read_text() == "x\n"
    other = program(tmp_path, "virtiofsd 1.9.0", "new")
    os.replace(other, path)
    assert daemon_programs.ask(str(path)) == Dialect(RUST, "1.9.0")


@pytest.mark.parametrize(
    "content",
    [None, "no program", "#!/bin/sh\nkill -9 $$\n", "#!/bin/sh\nexec sleep 60\n"],
    ids=["missing", "no program", "killed", "silent"],
)
def test_what_gives_no_answer_is_no_virtiofsd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setattr(daemon_programs, "_SECONDS", 0.03)
    path = tmp_path / "virtiofsd"
    if content is not None:
        path.write_text(content)
        path.chmod(0o755)
    assert daemon_programs.ask(str(path)) is None
    assert daemon_programs.dialect_wanted(str(path), "c") == Dialect(C)
    with pytest.raises(InvalidInput, match="--version does not say that it is a virtiofsd"):
        daemon_programs.dialect_wanted(str(path), "auto")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [("c", "says that it is the one in Rust (version 1.13.2). Leave it out."), ("rust", "")],
)
def test_a_dialect_that_contradicts_the_executable(wish: DaemonWish, wanted: str, text: str) -> None:
    if text:
        assert text in refusal(wish._replace(dialect=wanted))
    else:
        assert order_of(wish._replace(dialect=wanted)).dialect == Dialect(RUST, "1.13.2")


def test_what_somebody_else_may_have_written_is_not_run(tmp_path: Path) -> None:
    """A program that was found in a process list; /tmp itself has its sticky bit."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    path = program(folder, "virtiofsd 1.0.0")
    assert daemon_programs.may_be_asked(path)
    for place, mode in ((folder, 0o775), (folder, 0o757), (Path(path), 0o775), (Path(path), 0o757)):
        before = place.stat().st_mode
        place.chmod(mode)
        assert not daemon_programs.may_be_asked(path)
        place.chmod(before)
    folder.chmod(0o1777)
    assert daemon_programs.may_be_asked(path)
    os.chmod(path, 0o1777)  # what makes /tmp safe says nothing of a file
    assert not daemon_programs.may_be_asked(path)
    os.chmod(path, 0o755)
    assert not daemon_programs.may_be_asked(str(tmp_path / "none"))
    if os.geteuid() == 0:
        os.chown(path, 12345, 0)
        assert not daemon_programs.may_be_asked(path)
