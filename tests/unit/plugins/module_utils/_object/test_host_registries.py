# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable, parse_mountinfo
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import beside
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_registries import (
    Lister,
    Registries,
    registries,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_rootless import find
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    process,
    view_of,
)

STORAGE = "var/lib/containers/storage/overlay-containers"
KATA = "kata-7:x:4711:4711:Kata Containers temporary hypervisor user:/:/sbin/nologin"


def problems(host: Path) -> tuple[str, ...]:
    return registries(str(host), view_of(host_root=str(host))).doubts(("web-1",))


def test_A5_an_engine_whose_root_is_not_known_keeps_everything(tmp_path: Path) -> None:
    assert problems(tmp_path) == ()
    (tmp_path / "run/k3s/containerd").mkdir(parents=True)
    (problem,) = problems(tmp_path)
    assert problem == (
        f"what the containerd of {tmp_path}/run/k3s/containerd lists is not known: its database is not found"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("", 0), ("[]", 0), ('[{"id": "web-1"}]', 1), ('[{"id": "other"}]', 0), ("[{}]", 1), ('[{"id": 7}]', 1), ("{", 1)],
)
def test_A5_containers_without_an_id_are_not_absent(tmp_path: Path, text: str, said: int) -> None:
    (tmp_path / STORAGE).mkdir(parents=True)
    (tmp_path / STORAGE / "containers.json").write_text(text)
    assert len(problems(tmp_path)) == said


def test_A5_a_namespace_that_goes_away_hides_no_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = tmp_path / "run/containerd/io.containerd.runtime.v2.task"
    (tasks / "k8s.io/web-1").mkdir(parents=True)
    monkeypatch.setattr(beside, "_directories_in", lambda directory: ["gone", *directory.names()])
    said: list[str] = []
    assert list(beside.bundles_by_name(Roots(str(tmp_path), {}), said)) == ["web-1"] and said == []


RUNNING = {
    "Docker's root": ("Docker", "dockerd --data-root={0}/docker", True),
    "Docker's root, as of old": ("Docker", "dockerd -g {0}/docker", True),
    "Docker's root from where it works": ("Docker", "dockerd --data-root docker", True),
    "Docker's configuration": ("Docker", "/usr/bin/dockerd --config-file {0}/daemon.json", True),
    "CRI-O's root": ("CRI-O or Podman", "/usr/bin/crio --root {0}/storage", True),
    "CRI-O's configuration": ("CRI-O or Podman", "crio --config {0}/crio.conf", True),
    "CRI-O's configuration, briefly": ("CRI-O or Podman", "crio -c {0}/crio.conf", True),
    "CRI-O's drop-ins": ("CRI-O or Podman", "crio --config-dir={0}/crio.d", True),
    "CRI-O's drop-ins that are not there": ("CRI-O or Podman", "crio -d {0}/nowhere", False),
    "Podman's root": ("CRI-O or Podman", "podman --root {0}/storage system service", True),
    "what is no option of Podman's storage": ("CRI-O or Podman", "podman --config {0}/crio.conf ps", False),
    "another program": ("Docker", "cat --data-root={0}/docker", False),
}


@pytest.mark.parametrize(("engine", "command", "known"), RUNNING.values(), ids=RUNNING)
def test_A10_a_running_engine_tells_where_its_list_is(tmp_path: Path, engine: str, command: str, known: bool) -> None:
    (tmp_path / "docker/containers/web-1").mkdir(parents=True)
    (tmp_path / "daemon.json").write_text(f'{{"data-root": "{tmp_path}/docker"}}')
    (tmp_path / "storage/overlay-containers/web-1").mkdir(parents=True)
    (tmp_path / "crio.d").mkdir()
    for name in ("crio.conf", "crio.d/10-storage.conf"):
        (tmp_path / name).write_text(f'[crio]\nroot = "{tmp_path}/storage"\n')
    known_lists = registries("/", view_of(process(command.format(tmp_path), cwd=str(tmp_path))))
    assert known_lists.listed({"web-1"}) == ((f"{engine} lists web-1",) if known else ())
    assert not [one for one in known_lists.problems if str(tmp_path) in one]


@pytest.mark.parametrize("name", ["CONTAINER_ROOT", "CONTAINER_CONFIG", "CONTAINER_CONFIG_DIR"])
def test_A10_a_running_crio_is_told_by_its_environment_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "storage/overlay-containers/web-1").mkdir(parents=True)
    (tmp_path / "crio.d").mkdir()
    for file in ("crio.conf", "crio.d/10-storage.conf"):
        (tmp_path / file).write_text(f'[crio]\nroot = "{tmp_path}/storage"\n')
    paths = {"CONTAINER_ROOT": "storage", "CONTAINER_CONFIG": "crio.conf", "CONTAINER_CONFIG_DIR": "crio.d"}
    view = view_of(process("crio"))
    view.environment(7)[name] = f"{tmp_path}/{paths[name]}"
    assert registries("/", view).listed({"web-1"}) == ("CRI-O or Podman lists web-1",)


def test_B6_a_list_on_a_file_system_that_may_not_answer_is_left_alone(tmp_path: Path) -> None:
    line = "{} {} 0:{} / {} rw - {} none rw"
    mounts = [
        (21, 1, 30, "/", "nfs"),  # what the host lives on answers, or nothing here would run
        (22, 21, 31, f"{tmp_path}/disk", "fuse.sshfs"),
        (23, 21, 32, f"{tmp_path}/ram", "tmpfs"),
    ]
    table = MountTable(parse_mountinfo("\n".join(line.format(*one) for one in mounts) + "\n"))
    for name, problem in (("disk", True), ("ram", False), ("other", False)):
        (tmp_path / name).mkdir()
        view = view_of(process(f"dockerd --data-root {tmp_path}/{name}"))
        view.once("own mounts", lambda: table)
        said = [one for one in registries("/", view).problems if f"{tmp_path}/{name}: its file system may not" in one]
        assert bool(said) is problem


def test_A10_a_directory_that_is_told_from_an_unknown_place_is_not_absent() -> None:
    (problem,) = [
        one for one in registries("/", view_of(process("dockerd -g here", cwd=None))).problems if "Docker" in one
    ]
    assert problem == (
        "what Docker lists cannot be read: here: dockerd (pid 7) works in a directory that cannot be read."
    )


@pytest.mark.parametrize("command", ["dockerd --config-file /nowhere/daemon.json", "crio --config /nowhere/crio.conf"])
def test_A10_a_configuration_that_a_running_engine_was_told_to_read_is_not_absent(command: str) -> None:
    (problem,) = [one for one in registries("/", view_of(process(command))).problems if "/nowhere/" in one]
    assert "it is not there any more" in problem


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([KATA], ["kata-7"]),
        (["web:x:4711:4711::/:/bin/sh", KATA], []),
        ([KATA, "web:x:4711:4711::/:/bin/sh"], ["kata-7"]),
        ([KATA.replace("temporary ", "")], []),
    ],
    ids=["Kata's", "first somebody else's", "then somebody else's", "another comment"],
)
def test_D6_a_number_is_its_first_users(tmp_path: Path, lines: list[str], found: list[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run/user/4711").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("\n".join(["root:x:0:0::/root:/bin/sh", *lines]) + "\n")
    assert [one.name for one in find(str(tmp_path))] == found


def test_D6_a_number_that_is_given_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run/user/4711").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(f"{KATA}\n")
    (one,) = find(str(tmp_path))
    view = view_of(host_root=str(tmp_path))
    assert one.read(view)
    (tmp_path / "etc/passwd").write_text("web:x:4711:4711::/:/bin/sh\n")
    assert not one.read(view)


@pytest.mark.parametrize(
    ("names", "but", "said"),
    [
        ({"a"}, "", ("containerd lists a",)),  # once, though two do
        ({"a"}, "/run/containerd", ("containerd lists a",)),
        ({"b"}, "/run/containerd", ()),
        ({"b", "c", "d"}, "", ("containerd lists b", "Docker lists c")),
        ({"c"}, "/run/containerd", ("Docker lists c",)),
    ],
)
def test_A5_a_bundle_is_also_asked_for_by_those_that_are_not_its_own(
    names: set[str], but: str, said: tuple[str, ...]
) -> None:
    own, other = Lister("containerd", "/run/containerd"), Lister("containerd", "/run/k3s/containerd")
    known = Registries({"a": {own, other}, "b": {own}, "c": {Lister("Docker")}}, ("a problem",))
    assert known.listed(names, but) == said
    assert known.doubts(names) == (*known.listed(names), "a problem")
