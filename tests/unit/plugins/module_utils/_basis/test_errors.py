# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import errors
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import (
    remove_file,
    write_file,
    write_in_place,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import make_entry
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide, remove_tree

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StateError)]


@pytest.mark.parametrize(
    ("where", "why", "remedy", "text"),
    [
        ("/run/x", "it is full", "Make room.", "/run/x: it is full. Make room."),
        ("/run/x", "it is full", "", "/run/x: it is full."),
        ("", "it is full", "Make room.", "it is full. Make room."),
        ("", "it is full", "", "it is full."),
    ],
    ids=["all", "no remedy", "no place", "reason only"],
)
def test_text_says_where_why_and_what_now(where: str, why: str, remedy: str, text: str) -> None:
    error = StateError(where, why, remedy)
    assert str(error) == text
    assert (error.where, error.why, error.remedy) == (where, why, remedy)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_every_kind_is_caught_as_the_base_and_is_documented(kind: type[StateError]) -> None:
    with pytest.raises(StateError, match=r"^here: so\. Do this\.$"):
        raise kind("here", "so", "Do this.")
    assert kind.__doc__


def test_errors_are_no_os_errors() -> None:
    """A handler for OSError in the code must not swallow what was already explained."""
    assert [kind for kind in KINDS if issubclass(kind, OSError)] == []
    assert len(KINDS) > 5


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "whatever", "/secret/path"), os.strerror(errno.ENOSPC)),
        (OSError("no number"), "no number"),
    ],
    ids=["by number, without the path", "no number"],
)
def test_system_reason(error: OSError, text: str) -> None:
    assert os_reason(error) == text


def test_P4_who_may_open_too_few_files_is_told_what_to_raise() -> None:
    text = os_reason(OSError(errno.EMFILE, "whatever"))
    assert text == f"{os.strerror(errno.EMFILE)}: this process may have {os.sysconf('SC_OPEN_MAX')} (ulimit -n)"


@pytest.mark.parametrize(
    ("number", "uid", "text"),
    [
        (errno.EACCES, 1000, "Run as root (become: true)."),
        (errno.EPERM, 1000, "Run as root (become: true)."),
        (errno.EACCES, 0, "Nothing was changed."),
        (errno.ENOSPC, 1000, "Nothing was changed."),
    ],
    ids=["no access", "not permitted", "to root itself", "anything else"],
)
def test_who_is_not_root_is_told_to_be_where_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, number: int, uid: int, text: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert way_out(OSError(number, "whatever"), "Nothing was changed.") == text


WRITES: dict[str, Callable[[Directory], object]] = {
    "hidden": lambda place: hide(place.fd, "there", ".hidden", place.path),
    "removed": lambda place: remove_tree(place.fd, "there", place.path),
    "unlinked": lambda place: remove_file(place, "there"),
    "written": lambda place: write_file(place, "there", b"new", 0o600, durable=False),
    "written in place": lambda place: write_in_place(place, "there", b"new"),
    "made": lambda place: make_entry(place, "new", 0o600, is_directory=False),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_only_root_may_write_says_so(tmp_path: Path, write: Callable[[Directory], object]) -> None:
    (tmp_path / "there").touch(mode=0o400)
    tmp_path.chmod(0o555)
    is_root = os.geteuid() == 0
    with open_given(str(tmp_path)) as place:
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(WriteFailed, match=r": Permission denied\. Run as root \(become: true\)\.$"):
                write(place)
        finally:
            if is_root:
                os.seteuid(0)
            tmp_path.chmod(0o755)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
