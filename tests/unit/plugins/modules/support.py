# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a module in this process, with JSON arguments as on a host, and catching its result and its log lines."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from ansible.module_utils import basic

MODULES = "ansible_collections.sandboxed.containers.plugins.modules"


class Result(NamedTuple):
    """What came back. value: the result. text: as it was printed. logged: all that was written to the system's log."""

    value: dict[str, Any]
    text: str
    logged: str

    @property
    def msg(self) -> str:
        return str(self.value.get("msg", ""))

    @property
    def failed(self) -> bool:
        return bool(self.value.get("failed"))

    @property
    def changed(self) -> bool:
        return bool(self.value.get("changed"))

    @property
    def unchanged(self) -> bool:
        """Whether it was content with what is there: a failure changes nothing either, and is none of that."""
        return not self.failed and not self.changed

    @property
    def actions(self) -> list[str]:
        return [entry["action"] for entry in self.value["sandboxes"]]


# ansible-core 2.21 leaves the invocation out unless it is asked for it; older ones do not know the question.
_ASKED = "_ansible_inject_invocation" in Path(basic.__file__).read_text(encoding="utf-8")
_ALWAYS_INVOCATION = {"inject_invocation": True} if _ASKED else {}


@contextlib.contextmanager
def _arguments(options: dict[str, Any]) -> Iterator[None]:
    """What AnsibleModule reads; patch_module_args knows it, where ansible-core has that (2.19)."""
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:
        data = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
        with mock.patch.object(basic, "_ANSIBLE_ARGS", data):
            yield
    else:
        with patch_module_args(options):
            yield


def _descriptors() -> set[int]:
    """Those of this process that are open now."""
    return {int(name) for name in os.listdir("/proc/self/fd")}


def _close(descriptors: set[int]) -> None:
    """What a module leaves open ends with its process, which here it shares with all other tests."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):  # that of the listing itself
            os.close(descriptor)


def run(module: str, options: dict[str, Any], check_mode: bool = False, **internal: Any) -> Result:
    """Run a module's main() to its end. internal: Ansible's own settings, like diff=True."""
    settings = {"check_mode": check_mode, "diff": True, **_ALWAYS_INVOCATION, **internal}
    given = {**options, **{f"_ansible_{name}": value for name, value in settings.items()}}
    logged: list[str] = []

    def log(_task: basic.AnsibleModule, msg: str, log_args: dict[str, Any] | None = None) -> None:
        logged.append(f"{msg} {log_args}")

    printed = io.StringIO()
    before = _descriptors()
    main = importlib.import_module(f"{MODULES}.{module}").main
    with _arguments(given), mock.patch.object(basic.AnsibleModule, "log", log), contextlib.redirect_stdout(printed):
        with contextlib.suppress(SystemExit):
            main()
    _close(_descriptors() - before)
    text = printed.getvalue()
    return Result(json.loads(text.strip().splitlines()[-1]), text, "\n".join(logged))
