# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as a whole: what its archive holds, its action group, the options that all modules share."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
SHARED_OPTIONS = ("host_root", "sees_all_processes", "lock_timeout", "durable")

# What users get. A new kind of file is a decision: add it here or to build_ignore in galaxy.yml.
ARCHIVED = [
    r"MANIFEST\.json",
    r"FILES\.json",
    r"LICENSE",
    r"README\.md",
    r"CHANGELOG\.rst",
    r"changelogs/changelog\.yaml",
    r"docs/[\w/-]+\.(md|rst|svg|png)",
    r"docs/bench/results\.json",
    r"meta/runtime\.yml",
    r"playbooks/([\w-]+\.ya?ml|files/\w+\.py)",
    r"plugins/(doc_fragments|modules|module_utils)/[\w/]+\.py",
    r"roles/\w+/(README\.md|(defaults|handlers|meta|tasks|vars)/[\w/-]+\.ya?ml|files/\w+\.(py|sh)|templates/[\w/.-]+\.j2)",
]
REQUIRED = ["LICENSE", "README.md", "changelogs/changelog.yaml", "meta/runtime.yml"]
# What lies about in a checkout, and what `ansible-galaxy collection build` would take without build_ignore.
LITTER = [".venv/bin/activate", ".cache/tree/manifest", ".lab/runsc", ".mypy_cache/x.json", ".ansible/tmp/x"]
LITTER += ["tests/output/junit/x.xml", "plugins/modules/__pycache__/x.pyc", "sandboxed-containers-0.0.1.tar.gz"]


def known_files() -> list[str]:
    """What git tracks or would add, and is there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in an archive that was built among the litter of a working checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name in known_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    for name in LITTER:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("litter", encoding="utf-8")
    build = ["ansible-galaxy", "collection", "build", "--output-path", str(target), str(source)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (path,) = target.glob("sandboxed-containers-*.tar.gz")
    with tarfile.open(path) as archive:
        return sorted(member.name for member in archive.getmembers() if not member.isdir())


def test_archive_holds_only_the_expected_kinds_of_files(archived: list[str]) -> None:
    """No tests, tools, caches or environments reach the users."""
    assert [name for name in archived if not any(re.fullmatch(kind, name) for kind in ARCHIVED)] == []


def test_archive_holds_every_plugin_and_what_galaxy_wants(archived: list[str]) -> None:
    """build_ignore takes nothing away that belongs there."""
    plugins = [name for name in known_files() if name.startswith("plugins/")]
    assert plugins
    assert sorted({*plugins, *REQUIRED} - set(archived)) == []


def test_action_group_has_every_module() -> None:
    """`module_defaults` for the group reach every module, and nothing else is in it."""
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert MODULES
    assert sorted(runtime["action_groups"]["containers"]) == MODULES


@pytest.fixture(scope="module")
def documented() -> dict[str, dict[str, Any]]:
    """Each module as ansible-doc shows it; sanity proves that the argument specs are the same as its options."""
    names = [f"sandboxed.containers.{name}" for name in MODULES]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT.parents[2])}
    command = ["ansible-doc", "--type", "module", "--json", *names]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return {name.rpartition(".")[2]: known["doc"] for name, known in json.loads(done.stdout).items()}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("option", SHARED_OPTIONS)
def test_module_accepts_shared_option(documented: dict[str, dict[str, Any]], module: str, option: str) -> None:
    """Every member of the action group accepts the shared options, in one and the same form."""
    given, expected = (documented[name]["options"][option] for name in (module, MODULES[0]))
    form = {key: given.get(key) for key in ("type", "default", "required", "choices", "aliases")}
    assert form == {key: expected.get(key) for key in form}
    assert not form["required"]


@pytest.mark.parametrize("module", MODULES)
def test_module_says_which_group_it_is_in_and_which_shared_options_do_nothing(
    documented: dict[str, dict[str, Any]], module: str
) -> None:
    """A lock is waited for where something is changed, save by prune, and where a state is read under its lock."""
    known = documented[module]
    assert known["attributes"]["action_group"]["membership"] == ["sandboxed.containers.containers"]
    idle = {name for name in SHARED_OPTIONS if "without effect" in " ".join(known["options"][name]["description"])}
    looks = module.endswith("_info")
    waits = module == "sandbox_state_info" or not (looks or module == "sandbox_prune")
    assert idle == ({"durable"} if looks else set()) | (set() if waits else {"lock_timeout"})
