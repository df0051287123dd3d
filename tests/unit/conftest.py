# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers of unit tests.

Not further down: before it starts workers, pytest reads the folders that it is given and those above, no others.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """A pid namespace for each worker: the modules look at all processes, and so at those of other tests.

    Whoever may not make one (who is not root) has the tests' names alone to keep them apart.
    """
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        for spec in specs:
            # The shell is its pid 1 and reaps orphans; without a second command the worker would take its place.
            spec.python = shlex.join([*words, "sh", "-c", '"$@"; exit $?', "sh", sys.executable])


def pytest_configure(config: pytest.Config) -> None:
    """In CI each worker has to be alone: nobody would see that one no longer is, but for a failure now and then."""
    if hasattr(config, "workerinput") and os.environ.get("CI", "").lower() == "true" and os.getppid() != 1:
        raise pytest.UsageError("this worker has no pid namespace of its own: see pytest_xdist_setupnodes")
