# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The executables of virtiofsd: where they are, and what each of them says that it is."""

from __future__ import annotations

import os
import stat

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import RUST, C, Dialect, dialect_of

# Debian 13 and Fedora; Debian 12's QEMU, and Ubuntu's packages of the one in Rust; Arch; Kata's own release.
PLACES = (
    "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd", "/opt/kata/libexec/virtiofsd",
)  # fmt: skip
_SECONDS = 10.0
_asked: dict[tuple[int, int, int], str] = {}


def find_executable(given: str | None) -> str:
    """The absolute path of the daemon. Raises InvalidInput with the reason."""
    if given is None:
        found = [path for path in PLACES if os.path.isfile(path)]
        if not found:
            where = ", ".join(PLACES)
            raise InvalidInput("executable", f"no virtiofsd is at {where}", "Install it, or give its path.")
        return found[0]
    if not given.startswith("/"):
        raise InvalidInput("executable", f"'{given}' is no absolute path", "Give one.")
    try:
        mode = os.stat(given).st_mode
    except OSError as error:
        raise InvalidInput("executable", f"{given}: {os_reason(error)}", "Install it, or give another path.") from error
    if not stat.S_ISREG(mode) or not os.access(given, os.X_OK):
        raise InvalidInput("executable", f"{given} is no program that can be run", "Give the daemon's own path.")
    return given


def dialect_wanted(executable: str, wanted: str) -> Dialect:
    """The dialect to speak. wanted: auto, rust or c. Raises InvalidInput where the executable is no virtiofsd."""
    known = ask(executable)
    if wanted == "auto":
        if known is None:
            why = f"{executable} --version does not say that it is a virtiofsd, but: {_said(executable)}"
            raise InvalidInput("executable", why, f"Set dialect to {RUST} or {C} if it is one all the same.")
        return known
    if known is not None and known.name != wanted:
        other = "Rust" if known.name == RUST else "C"
        why = f"{executable} says that it is the one in {other} (version {known.version})"
        raise InvalidInput("dialect", why, "Leave it out.")
    return known or Dialect(wanted)


def ask(executable: str) -> Dialect | None:
    """What an executable says of itself for --version; None where that is nothing that a virtiofsd says."""
    return dialect_of(_answer(executable))


def _said(executable: str) -> str:
    lines = _answer(executable).strip().splitlines()
    return repr(lines[0][:200]) if lines else "nothing"


def _answer(executable: str) -> str:
    """The first of what it prints, asked once."""
    import subprocess

    try:
        status = os.stat(executable)
        key = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if key not in _asked:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                [executable, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=_SECONDS, check=False, cwd="/",
            )  # fmt: skip
            _asked[key] = done.stdout[:4096].decode("utf-8", "replace")
        return _asked[key]
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_SECONDS:g} s"
    except OSError as error:
        return os_reason(error)


def may_be_asked(executable: str) -> bool:
    """Whether running a program that was found in a process list is safe: nobody but root, or we, could write it."""
    path = executable
    try:
        while True:
            status = os.stat(path)
            is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX  # as /tmp: nobody moves it there
            if status.st_uid not in (0, os.geteuid()) or (status.st_mode & 0o022 and not is_sticky):
                return False
            if path == "/":
                return True
            path = os.path.dirname(path)
    except OSError:
        return False
