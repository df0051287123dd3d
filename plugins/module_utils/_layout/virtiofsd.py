# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines of virtiofsd's two dialects: QEMU's one in C, and the one in Rust (contracts/virtiofsd.md).

The same wish has another spelling in each of them, and what one of them would reject when it starts is refused here
before anything is done (V1).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput

C = "c"
RUST = "rust"
DESCRIPTOR = 3  # under which a daemon finds its listening socket
CACHE_MODES = ("auto", "always", "metadata", "never")
_METADATA_SINCE = (1, 8)
_VERSION = r"^virtiofsd (version |backend )?v?(\d+(?:\.\d+)*)"


class Dialect(NamedTuple):
    """What an executable says that it is. version: "1.13.2", or empty where it is not known."""

    name: str
    version: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split(".")) if self.version else ()


class Share(NamedTuple):
    """What a daemon is to serve, and how. None: the daemon's own default, nothing is passed."""

    shared_dir: str
    cache: str | None = None
    sandbox_mode: str | None = None
    thread_pool_size: int | None = None
    announce_submounts: bool = False
    posix_lock: bool = False
    xattr: bool = False
    syslog: bool = False
    extra_args: tuple[str, ...] = ()


class Seen(NamedTuple):
    """What the command line of a running daemon tells. Empty: it does not tell."""

    dialect: str
    shared_dir: str
    socket_path: str


def dialect_of(output: str) -> Dialect | None:
    """The dialect, from what an executable prints for --version; None where that is no virtiofsd.

    QEMU's: "virtiofsd version 7.2.22 (Debian …)" and "using FUSE kernel interface version 7.36". The one in Rust:
    "virtiofsd 1.13.2", of some releases "virtiofsd backend 1.3.0".
    """
    found = re.search(_VERSION, output, re.MULTILINE)
    if found is None:
        return None
    return Dialect(C if found[1] == "version " else RUST, found[2])


def check_cache(cache: str | None, dialect: Dialect) -> None:
    """Refuse a cache mode that the dialect does not know. Raises InvalidInput."""
    if cache == "none":
        raise InvalidInput(
            "cache", "'none' is how Kata once called it, and newer daemons reject it", "Set cache: never."
        )
    if cache is not None and cache not in CACHE_MODES:
        raise InvalidInput("cache", f"'{cache}' is no cache mode", f"Use one of {', '.join(CACHE_MODES)}.")
    if cache == "metadata" and dialect.name == C:
        raise InvalidInput("cache", "the virtiofsd in C does not know 'metadata'", "Use auto, always or never.")
    if cache == "metadata" and dialect.numbers and dialect.numbers < _METADATA_SINCE:
        why = f"this virtiofsd, {dialect.version}, does not know 'metadata', which came with 1.8.0"
        raise InvalidInput("cache", why, "Use auto, always or never.")


def check_share(share: Share, dialect: Dialect) -> None:
    """Refuse what the dialect cannot do. Raises InvalidInput."""
    check_cache(share.cache, dialect)
    if dialect.name == C and share.sandbox_mode == "none":
        raise InvalidInput("sandbox_mode", "the virtiofsd in C always has a sandbox", "Use namespace or chroot.")
    if dialect.name == RUST and share.posix_lock:
        raise InvalidInput("posix_lock", "the virtiofsd in Rust has no remote POSIX locks", "Leave it out.")


def command_line(executable: str, share: Share, dialect: Dialect) -> tuple[str, ...]:
    """The arguments, argv[0] included, with the listening socket as descriptor 3."""
    spelled = _in_c(share) if dialect.name == C else _in_rust(share)
    return (executable, f"--fd={DESCRIPTOR}", *spelled, *share.extra_args)


def _in_c(share: Share) -> list[str]:
    options = [("source", _escaped(share.shared_dir))]
    if share.cache is not None:
        options.append(("cache", "none" if share.cache == "never" else share.cache))
    if share.sandbox_mode is not None:
        options.append(("sandbox", share.sandbox_mode))
    # The one option that is passed also where nobody asked for it: so does Kata, whose guests lock in vain otherwise.
    flags = ["posix_lock" if share.posix_lock else "no_posix_lock"]
    flags += ["xattr"] if share.xattr else []
    flags += ["announce_submounts"] if share.announce_submounts else []
    words = [word for name, value in options for word in ("-o", f"{name}={value}")]
    words += [word for flag in flags for word in ("-o", flag)]
    return [*words, *_pool(share), *(["--syslog"] if share.syslog else []), "-f"]


def _in_rust(share: Share) -> list[str]:
    words = [f"--shared-dir={share.shared_dir}"]
    words += [f"--cache={share.cache}"] if share.cache is not None else []
    words += [f"--sandbox={share.sandbox_mode}"] if share.sandbox_mode is not None else []
    words += ["--xattr"] if share.xattr else []
    words += ["--announce-submounts"] if share.announce_submounts else []
    return [*words, *_pool(share), *(["--syslog"] if share.syslog else [])]


def _pool(share: Share) -> list[str]:
    return [] if share.thread_pool_size is None else [f"--thread-pool-size={share.thread_pool_size}"]


def _escaped(text: str) -> str:
    """A value of -o: libfuse splits at commas, and takes what follows a backslash as it is."""
    return text.replace("\\", "\\\\").replace(",", "\\,")


def read_command_line(arguments: tuple[str, ...]) -> Seen:
    """What a daemon's arguments tell, whoever started it, in either dialect and every spelling of contracts."""
    long_form: dict[str, str] = {}
    short_form: dict[str, str] = {}
    words = iter(arguments[1:])
    for word in words:
        if word == "-o" or word.startswith("-o"):
            value = word[2:] or next(words, "")
            for piece in _pieces(value):
                key, _equals, text = piece.partition("=")
                short_form.setdefault(key, text)
        elif word.startswith("--"):
            key, equals, text = word[2:].partition("=")
            long_form.setdefault(key, text if equals else next(words, "") if key in _WITH_VALUE else "")
    shared = long_form.get("shared-dir", "")
    socket = long_form.get("socket-path", "") or long_form.get("socket", "") or short_form.get("vhost_user_socket", "")
    return Seen(RUST if shared else "", shared or short_form.get("source", ""), socket)


# Of those that matter here, or whose value could be taken for an option.
_WITH_VALUE = frozenset(("shared-dir", "socket-path", "socket", "fd", "cache", "sandbox", "thread-pool-size", "tag"))
# Between commas: a backslash belongs to what follows it, also where that is another one before a comma.
_PIECE = r"(?:[^,\\]|\\.|\\$)+"
_ESCAPE = r"\\(.)"


def _pieces(value: str) -> list[str]:
    return [re.sub(_ESCAPE, r"\1", piece, flags=re.DOTALL) for piece in re.findall(_PIECE, value, re.DOTALL)]
