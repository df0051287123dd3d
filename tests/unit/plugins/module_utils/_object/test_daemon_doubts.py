# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be another daemon or process is neither replaced nor ended."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import NotProved
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import read
from ansible_collections.sandboxed.containers.plugins.module_utils._object import daemon_start
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon import Daemon
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_records import RunDir
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import DaemonWish
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_virtiofsd import (
    RECORD,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_daemons import (
    HIDDEN,
    view_of,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.test_removal import running


@pytest.mark.parametrize(
    ("unreadable", "asserted", "refused"), [((), True, False), (HIDDEN, True, True), ((), False, True)]
)
def test_B2_a_socket_is_not_replaced_where_its_listener_may_be_out_of_sight(
    tmp_path: Path, unreadable: tuple[str, ...], asserted: bool, refused: bool
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "a.sock"))
    item = Daemon(DaemonWish("web", "started", 1.0), RunDir("/", str(tmp_path / "records")))
    order: Any = SimpleNamespace(socket_path=str(tmp_path / "a.sock"))
    view = view_of(bound=(), unreadable=unreadable, asserted=asserted)
    if refused:
        with pytest.raises(NotProved, match="cannot be told whether somebody listens"):
            item._refuse_taken(order, view)
    else:
        item._refuse_taken(order, view)


def test_E1_what_fails_ends_nobody_who_has_its_pid_by_now() -> None:
    """The child that was started has ended, was reaped, and its number was given away."""
    with running() as child:
        known = read(child.pid)
        assert known is not None
        daemon_start._end(RECORD._replace(pid=child.pid, start_ticks=known.start_ticks - 1))
        assert child.poll() is None
        daemon_start._end(RECORD._replace(pid=child.pid, start_ticks=known.start_ticks))
        assert child.wait(timeout=60) < 0
