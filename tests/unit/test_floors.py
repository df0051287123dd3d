# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floors of module_utils: imports run downward, without cycles, and each floor knows only what it may know."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import floors_picture  # the tools are no package

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.sandboxed.containers.plugins."
FLOORS = {"_basis": 1, "_layout": 2, "_object": 3}  # modules stand above them
FILES = {
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts): path
    for path in sorted(PLUGINS.rglob("*.py"))
    if path.name != "__init__.py"
}
UTILS = [name for name in FILES if name.startswith("module_utils.")]

# Slow to import, for each task on each host; what needs one imports it where it is used.
HEAVY = {"asyncio", "ctypes", "dataclasses", "importlib", "inspect", "pathlib", "shutil", "subprocess", "tempfile"}
HEAVY |= {"urllib"}
RUNTIMES = ("gvisor", "runsc", "kata", "containerd")


def floor(name: str) -> int:
    """The floor of a file; modules and what else is no part of module_utils stand on top."""
    parts = name.split(".")
    return FLOORS[parts[1]] if parts[0] == "module_utils" else len(FLOORS) + 1


def imports(tree: ast.Module, top_level_only: bool = False) -> set[str]:
    """The full names that a file imports."""
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports inside the collection are absolute: AnsiballZ must find them"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parse(name: str) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def own_imports(name: str) -> set[str]:
    """The files of this collection that a file imports."""
    return {one[len(PREFIX) :] for one in imports(parse(name)) if one.startswith(PREFIX)} & set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_imports_run_downward(name: str) -> None:
    """A file imports only from its own floor and those below."""
    assert [other for other in own_imports(name) if floor(other) > floor(name)] == []


def test_imports_have_no_cycle() -> None:
    """Inside a floor imports may run sideways, but not in a circle."""
    order = list(TopologicalSorter({name: own_imports(name) for name in FILES}).static_order())
    assert set(order) == set(FILES)


@pytest.mark.parametrize("name", UTILS)
def test_host_code_imports_nothing_heavy(name: str) -> None:
    """Every task on every host pays for what is imported at the top of a file."""
    assert {one.partition(".")[0] for one in imports(parse(name), top_level_only=True)} & HEAVY == set()


@pytest.mark.parametrize("name", [name for name in UTILS if floor(name) < FLOORS["_object"]])
def test_lower_floors_do_not_know_ansible(name: str) -> None:
    """The basis and the layouts are plain Python."""
    assert [one for one in imports(parse(name)) if one.split(".")[0] == "ansible"] == []


@pytest.mark.parametrize("name", [name for name in UTILS if floor(name) == FLOORS["_basis"]])
def test_basis_names_no_runtime(name: str) -> None:
    """Comments and docstrings may name the defect that they prevent; the code knows no runtime."""
    source = FILES[name].read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    starts = {node.body[0].lineno for node in nodes if node.body and ast.get_docstring(node, clean=False) is not None}
    words = [
        token.string.lower()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type != tokenize.COMMENT and not (token.type == tokenize.STRING and token.start[0] in starts)
    ]
    assert [word for word in words if any(runtime in word for runtime in RUNTIMES)] == []


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("modules.")])
def test_modules_import_quickly(name: str) -> None:
    """What makes the imports quicker is called before them, in each module."""
    ours = [ast.unparse(one) for one in parse(name).body if PREFIX in ast.unparse(one) or "quick" in ast.unparse(one)]
    assert ours[:2] == [f"from {PREFIX}module_utils._basis import quick_imports", "quick_imports.begin()"]


def shipped(name: str) -> set[str]:
    """The files of this collection that Ansible sends for a module: all that it reaches, wherever it is imported."""
    found = {name}
    pending = [name]
    while pending:
        new = own_imports(pending.pop()) - found
        found |= new
        pending += new
    return found


LOOKING = [name for name in FILES if name.startswith("modules.") and name.endswith("_info")]
CHANGING = [name for name in FILES if name.startswith("modules.") and name not in LOOKING]


def test_what_only_looks_ships_nothing_that_changes() -> None:
    """What writes files, empties trees, unmounts, and starts or ends daemons is not sent where one only looks."""
    basis = (
        "atomic_files",
        "cgroup_directories",
        "trees",
        "new_trees",
        "unmounting",
        "signalling",
        "spawning",
        "transient_units",
    )
    names = [f"_basis.{name}" for name in basis] + ["_object.batches", "_object.host_removal"]
    changing = {f"module_utils.{name}" for name in names}
    assert {name: shipped(name) & changing for name in LOOKING} == {name: set() for name in LOOKING}
    assert changing <= set().union(*map(shipped, CHANGING))


@pytest.mark.parametrize("floor", [one for one in floors_picture.FLOORS if one.folder], ids=lambda one: one.title)
def test_each_file_of_a_floor_is_in_one_room_of_the_picture(floor: floors_picture.Floor) -> None:
    folder = PLUGINS.parent / floor.folder
    for path in folder.glob("*.py"):
        if path.name != "__init__.py":
            rooms = [
                room.title
                for room in floor.rooms
                if any(fnmatchcase(path.stem, pattern) for pattern in room.patterns or (room.title,))
            ]
            assert len(rooms) == 1, f"{path.name} is in {rooms}"


def test_the_picture_is_as_it_is_drawn() -> None:
    assert floors_picture.PICTURE.read_text(encoding="utf-8") == floors_picture.picture(), "run make docs"
