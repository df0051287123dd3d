# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata sandboxes for tests: the trees that Kata's own code wrote, small ones made by hand, and hosts to put them on."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Optional

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Reading, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout

FIXTURES = Path(__file__).parent / "fixtures"
# The ids in the trees of the fixtures: a sandbox, and its second container.
SID = "5e8491393fab78ba5b249d34442b422520eaffbcd8994d47a0139698680ca4eb"
CID = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"
# No other process of this machine carries it, and it is no substring of another one.
NAME = f"web-{os.getpid()}-x"
KATA = ("kata_store", "kata_persist", "kata_rs")
STATE = {"kata_store": "run/vc/sbs", "kata_persist": "run/vc/sbs", "kata_rs": "run/kata"}
CONFIG = "var/lib/vc/sbs"
SHARE = "run/kata-containers/shared/sandboxes"
VM = "run/vc/vm"

Listing = dict[str, tuple[int, Optional[bytes]]]


def layout_of(name: str) -> TreeLayout:
    layout = LAYOUTS[name]
    assert isinstance(layout, TreeLayout)
    return layout


# samples


def unpack(sample: str, host: Path) -> None:
    """The tree of a fixture below a host's root, with its modes."""
    with tarfile.open(FIXTURES / f"{sample}.tgz") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(host, filter="fully_trusted")
        else:  # an older Python filters nothing
            archive.extractall(host)


def listing(folder: Path) -> Listing:
    """All that is below a folder: relative path to mode, and content where it is a plain file."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if is_file(path) else None)
        for path in sorted(folder.rglob("*"))
    }


def is_file(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def documents_in(*folders: Path) -> dict[str, Any]:
    """The documents of one object, from its directories, as a user would give them."""
    found = {path.stem: json.loads(path.read_bytes()) for folder in folders for path in sorted(folder.glob("*.json"))}
    return {name: [] if content is None else content for name, content in found.items()}


# made by hand

SANDBOX: dict[str, dict[str, Any]] = {
    "kata_store": {"config": {"ID": NAME}, "state": {"state": "running"}},
    "kata_persist": {"persist": {"SandboxContainer": NAME, "State": "running"}},
    "kata_rs": {"state": {"hypervisor": {"id": NAME}, "sandbox_type": "virt_container"}},
}
CONTAINER: dict[str, dict[str, Any]] = {
    "kata_store": {"config": {"ID": "app-1"}, "state": {"state": "ready"}},
    "kata_persist": {"persist": {"State": "ready"}},
}


def put(path: Path, content: Any = "") -> Path:
    """A file with directories above it; what is no text or bytes is written as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else (content if content == "" else json.dumps(content)).encode()
    path.write_bytes(data)
    return path


def state_of(layout: str, host: Path, name: str = NAME) -> Path:
    return host / STATE[layout] / name


def make(layout: str, host: Path, name: str = NAME, containers: tuple[str, ...] = (), **documents: Any) -> Path:
    """A sandbox as its runtime leaves it; its state directory. documents: contents other than the usual ones."""
    wanted = json.loads(json.dumps({**SANDBOX[layout], **documents}).replace(NAME, name))
    _make_object(layout, host, name, wanted)
    for container_id in containers:
        inner = json.loads(json.dumps(CONTAINER[layout]).replace("app-1", container_id))
        _make_object(layout, host, f"{name}/{container_id}", inner)
    return state_of(layout, host, name)


def _make_object(layout: str, host: Path, inside: str, documents: dict[str, Any]) -> None:
    state = host / STATE[layout] / inside
    state.mkdir(parents=True)
    trees = [state]
    if layout == "kata_store":
        trees.append(host / CONFIG / inside)
    for tree in trees:
        if layout == "kata_store":
            (tree / "raw").mkdir(parents=True)
            (tree / "lock").touch()
    for name, content in documents.items():
        put(trees[-1 if name == "config" else 0] / f"{name}.json", content)


# reading


@contextmanager
def roots_of(layout: str, host: Path, **given: Path) -> Iterator[Roots]:
    """The open roots of a layout on a host. given: paths that a user gave, by the option."""
    rules = LAYOUTS[layout].root_rules
    with ExitStack() as opened:
        paths = {rule.option: str(given.get(rule.option, rule.default)) for rule in rules}
        directories = {
            rule.option: opened.enter_context(
                open_below("/" if rule.option in given else str(host), f"{paths[rule.option]}/{rule.inside}")
            )
            for rule in rules
        }
        yield Roots(str(host), directories, paths, frozenset(given))


def read(layout: str, host: Path, name: str = NAME, whole: bool = True) -> Reading:
    """One sandbox of a host, with all that surrounds it. Its directories are closed afterwards."""
    kata = layout_of(layout)
    with roots_of(layout, host) as roots:
        return kata.read(roots, name, kata.index(roots), whole=whole)


# processes


@contextmanager
def titled(*argv: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A real process with this command line, as a runtime's would look."""
    code = "import time; print(flush=True); time.sleep(60)"
    command = (argv[0], "-c", code, *argv[1:])
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE, cwd=cwd) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child
        finally:
            child.kill()
