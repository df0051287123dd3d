# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where engines keep what is theirs: by default, by their configuration, by their arguments (safety.md A10)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import (
    METADATA_FILE,
    METADATA_FOLDER,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_roots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_engines import engines_by_root
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import (
    EngineRoots,
    engine_roots,
    problems_of_roots,
    runsc_roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    process,
    view_of,
)

TASKS = "io.containerd.runtime.v2.task"


@pytest.fixture(autouse=True)
def nothing_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What this machine has itself stays out of it."""
    monkeypatch.setattr(host_roots, "ENGINE_ROOTS", {})
    monkeypatch.setattr(host_roots, "_RUNSC_PARENTS", (str(tmp_path / "runsc"),))
    monkeypatch.setattr(host_roots, "CONFIGURATION", str(tmp_path / "default.toml"))


def made(*paths: Path) -> None:
    """Directories; one of containerd's has its database."""
    for path in paths:
        path.mkdir(parents=True, exist_ok=True)
        if path.name == "work":
            (path / METADATA_FOLDER).mkdir(exist_ok=True)
            (path / METADATA_FOLDER / METADATA_FILE).touch()


def problems(host_root: str, view: HostView) -> list[str]:
    return problems_of_roots(host_root, engines_by_root(host_root, view)[host_root])


SETTINGS = {
    "both": ('root = "{0}/work"\nstate = "{0}/state"\n', True),
    "with a version before": ("version = 2\nroot = '{0}/work'\nstate='{0}/state'", True),
    "with comments": ('# root = "/x"\nroot = "{0}/work" # ours\n  state = "{0}/state"\n', True),
    "in a table": ('[grpc]\nroot = "{0}/work"\nstate = "{0}/state"\n', False),
    "in a plugin's table": ('version = 2\n [plugins."x"]\nroot = "{0}/work"\nstate = "{0}/state"\n', False),
    "of another name": ('uroot = "{0}/work"\nstate_dir = "{0}/state"\n', False),
    "without quotes": ("root = {0}/work\nstate = {0}/state\n", False),
    "with bytes that are no text": ('# \udcff\nroot = "{0}/work"\nstate = "{0}/state"\n', True),
    "nothing": ("", False),
}


@pytest.mark.parametrize(("text", "found"), SETTINGS.values(), ids=SETTINGS)
def test_A10_settings_at_the_top_of_the_configuration(text: str, found: bool, tmp_path: Path) -> None:
    made(tmp_path / "work", tmp_path / "state")
    config = tmp_path / "config.toml"
    config.write_bytes(text.format(tmp_path).encode(errors="surrogateescape"))
    seen = engine_roots("/", view_of(process(f"/usr/bin/containerd --config {config}")))
    assert (EngineRoots(str(tmp_path / "state"), str(tmp_path / "work")) in seen) is found


def test_A10_arguments_come_before_the_configuration(tmp_path: Path) -> None:
    made(tmp_path / "work", tmp_path / "state")
    (tmp_path / "c.toml").write_text('root = "/nowhere/work"\nstate = "/nowhere/state"\n')
    words = f"--root {tmp_path}/work --state={tmp_path}/state/ -c {tmp_path}/c.toml"
    seen = engine_roots("/", view_of(process(f"/usr/bin/containerd {words}")))
    assert seen == [EngineRoots(str(tmp_path / "state"), str(tmp_path / "work"))]


def test_A4_the_configuration_counts_while_containerd_does_not_run(tmp_path: Path) -> None:
    """Its database is what keeps the bundles, and it lies where it was told to put it."""
    made(tmp_path / "work", tmp_path / "state")
    (tmp_path / "default.toml").write_text(f'root = "{tmp_path}/work"\nstate = "{tmp_path}/state"\n')
    assert engine_roots("/", view_of()) == [EngineRoots(str(tmp_path / "state"), str(tmp_path / "work"))]


def test_A4_also_in_a_tree_that_lies_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_roots, "CONFIGURATION", "/etc/containerd/config.toml")
    made(tmp_path / "data/work", tmp_path / "run/containerd", tmp_path / "etc/containerd")
    (tmp_path / "etc/containerd/config.toml").write_text('root = "/data/work"\n')
    seen = engine_roots(str(tmp_path), view_of(host_root=str(tmp_path)))
    assert seen == [EngineRoots(str(tmp_path / "run/containerd"), str(tmp_path / "data/work"))]


def test_B6_a_configuration_that_is_no_file_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "default.toml")
    (tmp_path / "lost").symlink_to("lost")
    processes = [
        process(f"/usr/bin/containerd -c {tmp_path}/{name}", pid) for pid, name in enumerate(["lost", "no"], 7)
    ]
    assert engine_roots("/", view_of(*processes, process("/usr/bin/containerd -c /dev/stdin", 9))) is not None


def test_A5_a_configuration_that_cannot_be_read_is_not_absent(tmp_path: Path) -> None:
    assert problems("/", view_of()) == []
    (tmp_path / "default.toml").symlink_to("loop.toml")
    (tmp_path / "loop.toml").symlink_to("default.toml")
    (problem,) = problems("/", view_of())
    assert problem.startswith("what containerd lists is not known, since its configuration cannot be read: ")


def test_A5_where_it_cannot_be_read_the_usual_root_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_roots, "CONFIGURATION", "/etc/containerd/config.toml")
    monkeypatch.setattr(host_roots, "ENGINE_ROOTS", {"/run/containerd": "/var/lib/containerd"})
    made(tmp_path / "run/containerd", tmp_path / "var/lib/containerd", tmp_path / "etc/containerd")
    host = str(tmp_path)
    assert engine_roots(host, view_of(host_root=host)) == [
        EngineRoots(f"{host}/run/containerd", f"{host}/var/lib/containerd")
    ]
    (tmp_path / "etc/containerd/config.toml").symlink_to("config.toml")
    assert engine_roots(host, view_of(host_root=host)) == [EngineRoots(f"{host}/run/containerd", None)]


def test_A4_a_configuration_is_followed_inside_host_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_roots, "CONFIGURATION", "/etc/containerd/config.toml")
    host = tmp_path / "host"
    made(host / "data/work", host / "run/containerd", host / "etc/containerd", host / "usr/share")
    (host / "usr/share/c.toml").write_text('root = "/data/work"\n')
    (host / "etc/containerd/config.toml").symlink_to("/usr/share/c.toml")
    seen = engine_roots(str(host), view_of(host_root=str(host)))
    assert seen == [EngineRoots(str(host / "run/containerd"), str(host / "data/work"))]
    assert problems(str(host), view_of(host_root=str(host))) == []


@pytest.mark.parametrize("pattern", ["conf.d/*.toml", "{0}/conf.d/a.toml"])
def test_A10_what_a_configuration_imports_counts(tmp_path: Path, pattern: str) -> None:
    made(tmp_path / "work", tmp_path / "state", tmp_path / "conf.d")
    imports = f'imports = [\n  "{pattern.format(tmp_path)}",\n]\n'
    (tmp_path / "c.toml").write_text(f'version = 3\n{imports}"root" = "{tmp_path}/work"\n[plugins]\n')
    (tmp_path / "conf.d/a.toml").write_text(f'state = "{tmp_path}/state"\n')
    (tmp_path / "conf.d/b.txt").write_text('state = "/nowhere"\n')
    view = view_of(process(f"/usr/bin/containerd --config {tmp_path}/c.toml"))
    assert engine_roots("/", view) == [EngineRoots(str(tmp_path / "state"), str(tmp_path / "work"))]
    assert problems("/", view) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "it is not there any more"),
        ("directory", "it is not a plain file"),
        ('imports = ["{0}/c.toml"]', "it is imported by too many others"),
        ('imports = ["loop/*.toml"]', "too many levels of symbolic links"),
        ('imports = ["*/a.toml"]', "which directories it means is not looked up"),
    ],
    ids=[
        "missing",
        "directory",
        "imports itself",
        "imports what cannot be listed",
        "imports from directories by a pattern",
    ],
)
def test_A5_what_a_running_daemon_was_told_to_read_is_not_the_default(
    tmp_path: Path, text: str | None, why: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    if text == "directory":
        made(tmp_path / "c.toml")
    elif text is not None:
        (tmp_path / "c.toml").write_text(text.format(tmp_path))
    (problem,) = problems("/", view_of(process(f"/usr/bin/containerd --config {tmp_path}/c.toml")))
    assert problem.startswith("what containerd lists is not known, since its configuration") and why in problem


def test_A10_a_directory_that_is_named_through_a_link_is_one(tmp_path: Path) -> None:
    made(tmp_path / "run/state", tmp_path / "work")
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "default.toml").write_text(f'root = "{tmp_path}/work"\nstate = "{tmp_path}/link/state"\n')
    daemon = process(f"/usr/bin/containerd --root {tmp_path}/work --state {tmp_path}/run/state")
    assert engine_roots("/", view_of(daemon)) == [EngineRoots(f"{tmp_path}/run/state", f"{tmp_path}/work")]


def test_A10_a_containerd_of_a_container_is_not_this_hosts(tmp_path: Path) -> None:
    made(tmp_path / "work", tmp_path / "state")
    one = process(f"/usr/bin/containerd --root {tmp_path}/work --state {tmp_path}/state")
    for numbers in ((7, 1), (7, 30), (7, 8, 1), None):
        assert engine_roots("/", view_of(one, nested={7: numbers})) == []
    assert engine_roots("/", view_of(one._replace(root="/srv"))) == []
    assert engine_roots("/", view_of(one._replace(dead=True))) == []
    assert len(engine_roots("/", view_of(one))) == 1


def test_A10_a_shim_shows_where_its_bundles_are_and_not_what_lists_them(tmp_path: Path) -> None:
    made(tmp_path / f"state/{TASKS}/k8s.io/web-1", tmp_path / "work")
    shim = process("/usr/bin/containerd-shim-runc-v2 -id web-1", cwd=f"{tmp_path}/state/{TASKS}/k8s.io/web-1")
    assert engine_roots("/", view_of(shim)) == [EngineRoots(str(tmp_path / "state"), None)]
    daemon = process(f"/usr/bin/containerd --root {tmp_path}/work --state {tmp_path}/state", 8)
    assert engine_roots("/", view_of(shim, daemon)) == [EngineRoots(str(tmp_path / "state"), f"{tmp_path}/work")]
    assert engine_roots("/", view_of(shim._replace(cwd="/srv"))) == []


def test_A10_the_known_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each where one of the two is there, below host_root; a root directory that is not there may have been moved."""
    monkeypatch.setattr(
        host_roots, "ENGINE_ROOTS", {"/run/k3s": "/var/k3s", "/run/docker": "/var/docker", "/run/x": "/x"}
    )
    made(tmp_path / "run/k3s", tmp_path / "var/docker")
    assert engine_roots(str(tmp_path), view_of(host_root=str(tmp_path))) == [
        EngineRoots(f"{tmp_path}/run/k3s", None),
        EngineRoots(f"{tmp_path}/run/docker", f"{tmp_path}/var/docker"),
    ]


def test_A10_a_link_stays_inside_host_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_roots, "ENGINE_ROOTS", {"/var/run/k3s": "/var/k3s"})
    made(tmp_path / "host/var/k3s", tmp_path / "host/run/k3s")
    (tmp_path / "host/var/run").symlink_to("/run")
    host = str(tmp_path / "host")
    assert engine_roots(host, view_of(host_root=host)) == [EngineRoots(f"{host}/run/k3s", f"{host}/var/k3s")]


def test_A10_roots_of_runsc(tmp_path: Path) -> None:
    made(tmp_path / "runsc/k8s.io", tmp_path / "runsc/moby", tmp_path / "own", tmp_path / "other")
    (tmp_path / "link").symlink_to("own")
    processes = [
        process(f"runsc-sandbox --root={tmp_path}/own boot web-1", 7),
        process(f"runsc-gofer --root={tmp_path}/link gofer", 8),
        process(f"runsc --root {tmp_path}/runsc/moby wait web-2", 9),
        process(f"runsc --root {tmp_path}/nowhere list", 10),
        process("runsc --root relative list", 11),
        process(f"vi --root {tmp_path}/other", 12),
        process(f"runsc --root {tmp_path}/other list", 13, root="/srv"),
        process(f"runsc --root {tmp_path}/other list", 14),
    ]
    view = view_of(*processes, nested={7: (7, 1), 14: (14, 5)})
    assert runsc_roots("/", view) == [f"{tmp_path}/runsc/k8s.io", f"{tmp_path}/runsc/moby", f"{tmp_path}/own"]


def test_A10_processes_say_nothing_of_a_tree_that_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_roots, "_RUNSC_PARENTS", ("/run/containerd/runsc",))
    made(tmp_path / "host/run/containerd/runsc/k8s.io", tmp_path / "own", tmp_path / "state")
    host = str(tmp_path / "host")
    words = f"/usr/bin/containerd --state {tmp_path}/state"
    view = view_of(process(f"runsc --root {tmp_path}/own list"), process(words, 8), host_root=host)
    assert runsc_roots(host, view) == [f"{host}/run/containerd/runsc/k8s.io"]
    assert engine_roots(host, view) == []
