# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam to Ansible: the options that all modules share, and how their results and errors leave the host."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, os_reason, way_out
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_passable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import MASK, masked
from ansible_collections.sandboxed.containers.plugins.module_utils._object.printable import json_of, printable
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

SHARED_OPTIONS: dict[str, dict[str, Any]] = {
    "host_root": {"type": "path", "default": "/"},
    "sees_all_processes": {"type": "bool"},
    "lock_timeout": {"type": "float", "default": 10},
    "durable": {"type": "bool", "default": True},
}
_LONG = 1000  # a list that is worth a way of its own into the result
_SHOWN = 100  # elements of a parameter
# The options that say where state is kept. Relative to what Ansible happens to start in, they would name another place.
_PLACES = ("host_root", "run_root", "config_root", "state_root", "work_root", "path", "root", "run_dir")


class Task(AnsibleModule):
    """An AnsibleModule that shows no secrets: neither in the system's log nor in what comes back (promise 8)."""

    def _log_invocation(self) -> None:
        """AnsibleModule writes all parameters to syslog; the documents among them hold environment variables."""
        texts = {name: str(value) for name, value in self._shown_params().items()}
        shown = {name: text if text.isprintable() else ascii(text) for name, text in texts.items()}
        self.log("Invoked with " + " ".join(f"{name}={value}" for name, value in shown.items()), log_args=shown)

    def exit_json(self, **result: Any) -> NoReturn:
        self._end(super().exit_json, result)

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        self._end(super().fail_json, {"msg": msg, **result})

    def _end(self, end: Callable[..., Any], result: dict[str, Any]) -> NoReturn:
        """End with AnsibleModule's own report. It looks for secret options in every value, of which we have none, and
        that takes seconds for lists of thousands: so these are put into what it prints."""
        lists = {key: value for key, value in result.items() if isinstance(value, list) and len(value) > _LONG}
        marks = {key: f"{key}:{os.urandom(16).hex()}" for key in lists}
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed) if lists else contextlib.nullcontext():
                # AnsibleModule would put all parameters as they are into every result, also when it refuses them itself
                end(**printable({**result, **marks, "invocation": {"module_args": self._shown_params()}}))
        finally:
            text = printed.getvalue()
            for key, mark in marks.items():
                text = text.replace(json.dumps(mark), json_of(lists[key]), 1)
            sys.stdout.write(text)
        raise SystemExit  # it does not return; this says so to the type checker

    def _shown_params(self) -> dict[str, Any]:
        """The parameters without secrets. Of long lists the beginning, of raw items the names: both may be anything."""
        shown = masked({name: _shortened(name, value) for name, value in self.params.items()})
        return dict(shown)

    def new_view(self) -> HostView:
        return HostView(self.params["host_root"], self.params["sees_all_processes"])


def _shortened(name: str, value: Any) -> Any:
    if name == "raw_items" and value is not None:
        return dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK
    if isinstance(value, dict):
        return {key: _shortened(key, element) for key, element in value.items()}
    if isinstance(value, list):
        shown = [_shortened("", element) for element in value[:_SHOWN]]
        return shown if len(value) <= _SHOWN else [*shown, f"and {len(value) - _SHOWN} more"]
    return value


def make_task(options: dict[str, dict[str, Any]], **settings: Any) -> Task:
    """The task object of a module: its own options and the shared ones."""
    spec = {**SHARED_OPTIONS, **options}
    task = Task(argument_spec=spec, supports_check_mode=True, **settings)
    try:
        for name, option in spec.items():
            if option["type"] == "path" and task.params[name] is not None:
                _check_path(name, task.params[name])
        _check_host_root(task.params["host_root"])
        _check_seconds(task.params["lock_timeout"])
    except InvalidInput as error:
        task.fail_json(str(error))
    return task


def _check_path(option: str, path: str) -> None:
    check_passable(path, option)
    if option in _PLACES and not path.startswith("/"):
        what = f"'{path}' is no absolute path" if path else "it is empty"
        raise InvalidInput(option, what, "Give a path that begins with '/'.")


def _check_host_root(path: str) -> None:
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        remedy = way_out(error, "Give a directory that is there.")
        raise InvalidInput("host_root", f"{path}: {os_reason(error)}", remedy) from error
    if not is_directory:
        raise InvalidInput("host_root", f"{path} is no directory", "Give the root directory of a host.")


def _check_seconds(seconds: float) -> None:
    if not math.isfinite(seconds) or seconds < 0:  # one that is no number would wait for ever
        raise InvalidInput("lock_timeout", f"{seconds} is no number of seconds", "Give 0 or more.")


def budget_of(task: Task) -> LockBudget:
    """The waiting that the task may spend on locks."""
    return LockBudget(task.params["lock_timeout"])
