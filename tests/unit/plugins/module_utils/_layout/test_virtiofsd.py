# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import (
    RUST,
    C,
    Dialect,
    Seen,
    Share,
    check_cache,
    check_share,
    command_line,
    dialect_of,
    read_command_line,
)

DEBIANS_C = "virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nusing FUSE kernel interface version 7.36\n"


@pytest.mark.parametrize(
    ("output", "dialect"),
    [
        (DEBIANS_C, Dialect(C, "7.2.22")),
        ("virtiofsd version 5.2.0\n", Dialect(C, "5.2.0")),
        ("virtiofsd 1.13.2\n", Dialect(RUST, "1.13.2")),
        ("virtiofsd backend 1.3.0\n", Dialect(RUST, "1.3.0")),
        ("virtiofsd v1.8.0-dev\n", Dialect(RUST, "1.8.0")),
        ("virtiofsd 2\n", Dialect(RUST, "2")),
        ("[2026 WARN] no capabilities\nvirtiofsd 1.11.1\n", Dialect(RUST, "1.11.1")),
        ("", None),
        ("QEMU emulator version 7.2.22\n", None),
        ("this is virtiofsd 1.13.2\n", None),
        ("virtiofsd: unknown option --version\n", None),
        ("virtiofsd nightly\n", None),
    ],
)
def test_the_dialect_is_what_the_executable_says(output: str, dialect: Dialect | None) -> None:
    assert dialect_of(output) == dialect


@pytest.mark.parametrize(("version", "numbers"), [("1.13.2", (1, 13, 2)), ("2", (2,)), ("", ())])
def test_versions_are_compared_by_their_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert Dialect(RUST, version).numbers == numbers


@pytest.mark.parametrize("name", [C, RUST])
@pytest.mark.parametrize("cache", [None, "auto", "always", "never"])
def test_cache_modes_that_both_know(name: str, cache: str | None) -> None:
    check_cache(cache, Dialect(name, "1.3.0"))


@pytest.mark.parametrize("version", ["1.8.0", "1.8", "1.10.0", "2.0.0", ""])
def test_metadata_is_known_since_1_8(version: str) -> None:
    """Of a version that is not known nothing is refused: the daemon itself tells."""
    check_cache("metadata", Dialect(RUST, version))


@pytest.mark.parametrize(
    ("cache", "dialect", "text"),
    [
        (
            "none",
            Dialect(RUST, "1.13.2"),
            "cache: 'none' is how Kata once called it, and newer daemons reject it. Set cache: never.",
        ),
        ("none", Dialect(C, "7.2.22"), "Set cache: never."),
        (
            "metadata",
            Dialect(RUST, "1.7.2"),
            "cache: this virtiofsd, 1.7.2, does not know 'metadata', which came with 1.8.0. Use auto, always or never.",
        ),
        ("metadata", Dialect(C, "7.2.22"), "cache: the virtiofsd in C does not know 'metadata'. Use auto, always or"),
        ("Auto", Dialect(RUST), "cache: 'Auto' is no cache mode. Use one of auto, always, metadata, never."),
        ("", Dialect(C), "cache: '' is no cache mode."),
    ],
    ids=["none in Rust", "none in C", "metadata too early", "metadata in C", "another case", "empty"],
)
def test_V1_a_cache_mode_that_the_daemon_would_reject_is_refused(cache: str, dialect: Dialect, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_share(Share("/s", cache=cache), dialect)
    assert str(refused.value).startswith(text) or str(refused.value).endswith(text)


@pytest.mark.parametrize(
    ("share", "name", "text"),
    [
        (
            Share("/s", sandbox_mode="none"),
            C,
            "sandbox_mode: the virtiofsd in C always has a sandbox. Use namespace or chroot.",
        ),
        (
            Share("/s", posix_lock=True),
            RUST,
            "posix_lock: the virtiofsd in Rust has no remote POSIX locks. Leave it out.",
        ),
    ],
)
def test_what_a_dialect_cannot_do_is_refused(share: Share, name: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_share(share, Dialect(name))
    assert str(refused.value) == text
    check_share(share, Dialect(RUST if name == C else C))


@pytest.mark.parametrize(
    ("share", "rust", "c"),
    [
        (Share("/s"), "--shared-dir=/s", "-o source=/s -o no_posix_lock -f"),
        (Share("/s", cache="auto"), "--shared-dir=/s --cache=auto", "-o source=/s -o cache=auto -o no_posix_lock -f"),
        (
            Share("/s", cache="never"),
            "--shared-dir=/s --cache=never",
            "-o source=/s -o cache=none -o no_posix_lock -f",
        ),
        (
            Share("/s", sandbox_mode="chroot"),
            "--shared-dir=/s --sandbox=chroot",
            "-o source=/s -o sandbox=chroot -o no_posix_lock -f",
        ),
        (
            Share("/s", thread_pool_size=0),
            "--shared-dir=/s --thread-pool-size=0",
            "-o source=/s -o no_posix_lock --thread-pool-size=0 -f",
        ),
        (
            Share("/s", announce_submounts=True),
            "--shared-dir=/s --announce-submounts",
            "-o source=/s -o no_posix_lock -o announce_submounts -f",
        ),
        (Share("/s", xattr=True), "--shared-dir=/s --xattr", "-o source=/s -o no_posix_lock -o xattr -f"),
        (Share("/s", posix_lock=True), None, "-o source=/s -o posix_lock -f"),
        (Share("/s", syslog=True), "--shared-dir=/s --syslog", "-o source=/s -o no_posix_lock --syslog -f"),
        (
            Share("/s", extra_args=("--readonly", "-o", "x=1")),
            "--shared-dir=/s --readonly -o x=1",
            "-o source=/s -o no_posix_lock -f --readonly -o x=1",
        ),
        (
            Share("/s", "always", "namespace", 4, True, False, True, True, ("--x",)),
            (
                "--shared-dir=/s --cache=always --sandbox=namespace --xattr --announce-submounts --thread-pool-size=4"
                " --syslog --x"
            ),
            (
                "-o source=/s -o cache=always -o sandbox=namespace -o no_posix_lock -o xattr -o announce_submounts"
                " --thread-pool-size=4 --syslog -f --x"
            ),
        ),
    ],
    ids=["nothing", "cache", "never", "sandbox", "pool", "submounts", "xattr", "locks", "syslog", "extra", "all"],
)
def test_each_option_in_both_dialects(share: Share, rust: str | None, c: str) -> None:
    """V1: the C one, and the old form of the one in Rust, know `none` and not `never`."""
    assert command_line("/v", share, Dialect(C)) == ("/v", "--fd=3", *c.split())
    if rust is not None:
        assert command_line("/v", share, Dialect(RUST)) == ("/v", "--fd=3", *rust.split())


PATHS = ["/s", "/a,b", "/a\\b", "/a\\,b", "/a,", "/a\\", "/a\\\\", ",", "/a b", "/a=b", "/cache=none,x", "/ä\n\\\n"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [C, RUST])
def test_our_own_command_line_is_read_back(name: str, path: str) -> None:
    seen = read_command_line(command_line("/v", Share(path, cache="never", syslog=True), Dialect(name)))
    assert seen == Seen(RUST if name == RUST else "", path, "")


@pytest.mark.parametrize(
    ("path", "word"),
    [("/a,b", "source=/a\\,b"), ("/a\\b", "source=/a\\\\b"), ("/a\\,b", "source=/a\\\\\\,b"), ("/a=b", "source=/a=b")],
)
def test_values_are_escaped_as_libfuse_reads_them(path: str, word: str) -> None:
    assert command_line("/v", Share(path), Dialect(C))[3] == word
    assert command_line("/v", Share(path), Dialect(RUST))[2] == f"--shared-dir={path}"


VM = "/run/vc/vm/web-1"
SHARED = "/run/kata-containers/shared/sandboxes/web-1"
RS_SOCKET = "/run/kata/web-1/root/virtiofsd.sock"
ONE_THREAD, SUBMOUNTS = "--thread-pool-size=1", "-o announce_submounts"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (
            f"-o vhost_user_socket={VM}/vhost-fs.sock -o source={SHARED} -o cache=auto",
            Seen("", SHARED, f"{VM}/vhost-fs.sock"),
        ),
        (
            f"-o vhost_user_socket={VM}/vhost-fs.sock -o source={SHARED} -o cache=none -d",
            Seen("", SHARED, f"{VM}/vhost-fs.sock"),
        ),
        (f"--fd=3 -o source={SHARED} -o cache=auto --syslog -o no_posix_lock -f", Seen("", SHARED, "")),
        (f"--fd=3 -o source={SHARED}/shared -o cache=auto --syslog -d", Seen("", SHARED + "/shared", "")),
        (
            f"-f -o vhost_user_socket={VM}/virtiofsd.sock -o source={SHARED} -o cache=always",
            Seen("", SHARED, f"{VM}/virtiofsd.sock"),
        ),
        (
            f"-f -o cache=auto -o no_posix_lock -o source={SHARED} -o vhost_user_socket={VM}/virtiofsd.sock",
            Seen("", SHARED, f"{VM}/virtiofsd.sock"),
        ),
        (f"--syslog -f -o cache=auto -o no_posix_lock -o source={SHARED} --fd=3 -o debug", Seen("", SHARED, "")),
        (
            f"--syslog -o cache=auto -o no_posix_lock -o source={SHARED}/shared --fd=3 -d --thread-pool-size=1",
            Seen("", SHARED + "/shared", ""),
        ),
        (
            f"--syslog -o cache=never -o no_posix_lock -o source={SHARED}/shared --fd=3 -f {ONE_THREAD} {SUBMOUNTS}",
            Seen("", SHARED + "/shared", ""),
        ),
        (
            f"--syslog --cache=auto --shared-dir={SHARED}/shared --fd=3 {ONE_THREAD} --announce-submounts --xattr",
            Seen(RUST, SHARED + "/shared", ""),
        ),
        (
            f"--socket-path {RS_SOCKET} --shared-dir {SHARED}/ro --cache auto {ONE_THREAD} {SUBMOUNTS} --xattr",
            Seen(RUST, SHARED + "/ro", RS_SOCKET),
        ),
        (
            f"--socket-path virtiofsd.sock --shared-dir {SHARED}/ro --cache never",
            Seen(RUST, SHARED + "/ro", "virtiofsd.sock"),
        ),
    ],
    ids=[
        "1.7", "1.8", "1.9", "1.12", "1.10 CLH", "1.11 CLH", "1.12 CLH", "2.2", "2.5", "3.2", "runtime-rs",
        "runtime-rs rootless",
    ],
)  # fmt: skip
def test_V5_every_command_line_of_kata_tells_what_it_shares(line: str, seen: Seen) -> None:
    assert read_command_line(("/usr/libexec/virtiofsd", *line.split())) == seen


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ((), Seen("", "", "")),
        (("virtiofsd",), Seen("", "", "")),
        (("virtiofsd", "--fd=3"), Seen("", "", "")),
        (("virtiofsd", "-osource=/s,cache=auto"), Seen("", "/s", "")),
        (("virtiofsd", "-o", "source=/a\\,b,vhost_user_socket=/k\\\\"), Seen("", "/a,b", "/k\\")),
        (("virtiofsd", "-o", "source=/a\\\\,cache=auto"), Seen("", "/a\\", "")),
        (("virtiofsd", "-o", "source=/a\\\\\\,b,cache=auto"), Seen("", "/a\\,b", "")),
        (("virtiofsd", "--socket=/k", "--shared-dir", "/s"), Seen(RUST, "/s", "/k")),
        (("virtiofsd", "--tag", "--shared-dir", "--shared-dir=/s"), Seen(RUST, "/s", "")),
        (("virtiofsd", "--shared-dir"), Seen("", "", "")),
        (("virtiofsd", "-o"), Seen("", "", "")),
        (("virtiofsd", "-o", "source=/s", "-o", "source=/t"), Seen("", "/s", "")),
    ],
    ids=[
        "no words", "the name", "no source", "one word", "escaped", "backslash before a comma", "both", "socket",
        "a tag like an option", "cut after a long one", "cut after -o", "twice",
    ],
)  # fmt: skip
def test_other_command_lines(words: tuple[str, ...], seen: Seen) -> None:
    assert read_command_line(words) == seen
