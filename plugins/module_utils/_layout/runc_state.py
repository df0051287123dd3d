# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runc keeps of a container: <root>/<id>/state.json (contracts/cgroups.md; libcontainer/container_linux.go).

containerd starts runc with its own root, <state>/runc/<namespace>. When shim and daemon are killed, that directory
stays, and runc refuses the id from then on, although its bundle is gone.
"""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import RecordedProcess
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.documents import read_document

_STATE = "state.json"
_REST = {"exec.fifo"}  # what there is beside it before the container is started


class RuncState(NamedTuple):
    """bundle: the one that the container was made from; empty where the state does not tell, so that it may be of any.
    pid: its first process, which began at `started`, in clock ticks since boot, 0 where that is not told.
    is_rest: what a broken delete has left, without a state. problem: why it is not known."""

    bundle: str = ""
    pid: RecordedProcess | None = None
    is_rest: bool = False
    problem: str = ""
    started: int = 0


def read_runc_state(root: Directory, container_id: str) -> RuncState:
    """The state of a container. root: runc's open root directory. Never raises."""
    where = root.join(container_id)
    try:
        with root.child(container_id).opened() as directory:
            names = directory.names()
            if _STATE not in names:
                return RuncState(is_rest=not set(names) - _REST)
            document = read_document("state", directory, _STATE, container_id, look(directory, _STATE))
    except FileNotFoundError:
        return RuncState(is_rest=True)
    except StateError as error:
        return RuncState(problem=f"{error.where or where} cannot be read: {error.why}")
    except OSError as error:
        return RuncState(problem=f"{where} cannot be read: {os_reason(error)}")
    if document.problem:
        return RuncState(problem=f"{document.path} cannot be read: {document.problem}")
    config = document.content.get("config")
    labels = config.get("labels") if isinstance(config, dict) else None
    texts = [text for text in labels if isinstance(text, str)] if isinstance(labels, list) else []
    bundles = [text[len("bundle=") :] for text in texts if text.startswith("bundle=")]
    pid = document.content.get("init_process_pid")
    known = isinstance(pid, int) and not isinstance(pid, bool) and pid > 0
    started = document.content.get("init_process_start")
    return RuncState(
        bundles[0] if bundles else "",
        RecordedProcess("runc's", pid, container_id) if known else None,
        started=started if isinstance(started, int) else 0,
    )
