# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import errors
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason

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
