# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real ansible-core and git for a booted system, and a repository of an operator's for ansible-pull to pull."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, checkout, lab_dir, package

VERSION = "2.19.14"  # the newest that Debian 12's Python 3.11 and the collection both know
PYTHON = "3.11"
COMMANDS = {"ansible": "adhoc", "ansible-playbook": "playbook", "ansible-pull": "pull"}


def ansible_core() -> Path:
    """The folder that holds it, fetched on first use. Raises Unavailable."""
    target = lab_dir().resolve() / f"ansible-core-{VERSION}"
    if target.is_dir():
        return target
    lab_dir().mkdir(parents=True, exist_ok=True)
    with open(lab_dir() / "fetch.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            print(f"fetching ansible-core {VERSION} into {target}", file=sys.stderr, flush=True)
            scratch = target.with_name(f".{target.name}")
            shutil.rmtree(scratch, ignore_errors=True)
            words = ["--quiet", "--no-input", "--target", str(scratch), "--python-version", PYTHON]
            install = [
                sys.executable,
                "-m",
                "pip",
                "install",
                *words,
                "--only-binary=:all:",
                f"ansible-core=={VERSION}",
            ]
            done = subprocess.run(install, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Unavailable(f"pip install ansible-core: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
            scratch.rename(target)
    return target


def install(system: Booted) -> None:
    """Make ansible-pull and git commands of the system; their files stay in the lab. Raises Unavailable."""
    core, git = ansible_core(), package("git").resolve()
    for name, module in COMMANDS.items():
        text = f"import sys\nsys.path.insert(0, {str(core)!r})\nfrom ansible.cli.{module} import main\nmain()\n"
        _command(system, name, f"#!/usr/bin/python3\n{text}")
    _command(system, "git", f'#!/bin/sh\nGIT_EXEC_PATH={git}/usr/lib/git-core exec {git}/usr/bin/git "$@"\n')


def _command(system: Booted, name: str, text: str) -> None:
    path = system.path(f"/usr/local/bin/{name}")
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Repository:
    """An operator's repository on the system, with the collection in it."""

    def __init__(self, system: Booted, folder: str) -> None:
        self.system, self.folder = system, folder
        self.url = f"file://{folder}"
        collection = f"{folder}/collections/ansible_collections/sandboxed/containers"
        system.must("mkdir", "-p", collection)
        for name in ("galaxy.yml", "meta", "plugins", "playbooks"):
            source, target = checkout() / name, system.path(collection) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copyfile(source, target)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=operator", "-c", "user.email=operator@example.com"]
        self.system.must("/usr/local/bin/git", "-C", self.folder, *who, *words)

    def commit(self, plays: list[dict[str, Any]]) -> None:
        """Make these plays its local.yml."""
        self.system.path(f"{self.folder}/local.yml").write_text(json.dumps(plays), encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=next")
