# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback of Ansible's that writes down, a line each, what the tasks of sandbox_prune have answered.

Only the program of the role loads it, and names the file; a playbook that is run otherwise does not know it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: sandbox_prune_timer
type: notification
short_description: Write down what sandbox_prune has answered
description:
  - For the program that the role sandbox_prune_timer installs.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "sandbox_prune_timer"

    def v2_runner_on_ok(self, result: Any) -> None:
        self._note(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note(result, failed=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._note(result, failed=True)

    def _note(self, result: Any, failed: bool) -> None:
        target = os.environ.get("SANDBOX_PRUNE_TIMER_ANSWERS")
        task = result.task
        name = getattr(task, "resolved_action", None) or task.action
        if not target or name.rpartition(".")[2] != "sandbox_prune":
            return
        answer = result.result
        actions = Counter(str(one.get("action")) for one in answer.get("objects") or [])
        line = {
            "failed": failed,
            "changed": bool(answer.get("changed")),
            "msg": str(answer.get("msg", "")),
            "actions": dict(actions),
        }
        with open(target, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
