# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module says of a host's tree."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import sockets
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import MountSurvey
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import ProcessTable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import kata
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import HostTree


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def test_an_empty_host(host: HostTree) -> None:
    found = host.info(with_plan=True)
    assert found.msg == "0 objects." and found.value["objects"] == [] and found.value["problems"] == []
    assert found.value["plan"]["steps"] == [] and found.value["truncated"] is False
    assert host.names() == {"var", "var/run"}


def test_every_kind_and_layout_is_found(host: HostTree) -> None:
    host.everything()
    before = host.names()
    found = host.info()
    assert {(one["kind"], one.get("layout", ""), one["id"]) for one in found.value["objects"]} == {
        ("sandbox", "kata_rs", "hostunit-1-rs"),
        ("sandbox", "kata_persist", "hostunit-1-go"),
        ("sandbox", "kata_store", "hostunit-1-old"),
        ("sandbox", "kata_persist", "hostunit-1-share"),
        ("sandbox", "gvisor", "hostunit-1-g"),
        ("bundle", "containerd_v2", "hostunit-1-b"),
        ("mapping", "", "hostunit-1-m"),
        ("socket", "", "b" * 64),
    }
    assert {one["verdict"] for one in found.value["objects"]} == {"leftover"}
    assert found.value["summary"]["leftover"] == found.value["summary"]["total"] == 8
    assert host.names() == before


def test_A2_nothing_is_a_leftover_in_a_tree_that_may_be_another_hosts(host: HostTree) -> None:
    host.everything()
    verdicts = host.verdicts(sees_all_processes=None)
    assert len(verdicts) == 8 and set(verdicts.values()) == {"unknown"}
    assert "may be another host's tree" in host.evidence("sandbox hostunit-1-rs", sees_all_processes=None)


def test_F1_what_is_young_is_unknown(host: HostTree) -> None:
    host.everything()
    assert set(host.verdicts(min_age=3600).values()) == {"unknown"}
    assert "less than min_age=3600" in host.evidence("sandbox hostunit-1-rs", min_age=3600)


def test_F1_what_refers_to_it_makes_it_young(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of a pod that is just being made keeps the whole pod."""
    host.kata_persist("hostunit-1")
    time.sleep(0.05)  # change times cannot be set, so the clock is
    now = time.time() + 100
    monkeypatch.setattr(host_scan, "time", SimpleNamespace(time=lambda: now))
    assert host.verdicts(min_age=100) == {"sandbox hostunit-1": "leftover"}
    time.sleep(0.05)
    host.bundle("hostunit-1-app", sandbox="hostunit-1")
    found = {one["kind"]: one for one in host.info(min_age=100).value["objects"]}
    assert {one["verdict"] for one in found.values()} == {"unknown"}
    assert "bundle hostunit-1-app" in found["sandbox"]["evidence"][0]


def test_A1_what_cannot_be_read_is_unknown_and_keeps_what_is_tied_to_it(host: HostTree) -> None:
    (host.kata_rs("hostunit-1") / "state.json").unlink()
    os.mkfifo(host.root / "run/kata/hostunit-1/state.json")
    host.kata_rs("hostunit-10")
    host.mapping("hostunit-app-1", "hostunit-1")
    host.bundle("hostunit-1")
    found = host.verdicts()
    assert found["sandbox hostunit-10"] == "leftover"
    assert {found[key] for key in ("sandbox hostunit-1", "mapping hostunit-app-1", "bundle hostunit-1")} == {"unknown"}
    assert "not a plain file" in host.evidence("sandbox hostunit-1")


@pytest.mark.parametrize(
    "root",
    ["run/vc/sbs", "run/kata", "run/runsc", "var/lib/vc/sbs", "run/containerd/io.containerd.runtime.v2.task",
     "run/kata-containers/containers-mapping", "run/containerd/s", "run/kata-containers/shared/sandboxes"],
)  # fmt: skip
def test_A1_a_root_that_cannot_be_listed_is_told_and_hides_no_other(host: HostTree, root: str) -> None:
    host.everything()
    os.rename(host.root / root, host.root / "kept")
    host.write(root, "a file")
    found = host.info()
    said = [*found.value["problems"], *(text for one in found.value["objects"] for text in one["evidence"])]
    assert any(root in text for text in said), said
    others = {"run/kata": "hostunit-1-rs", "run/runsc": "hostunit-1-g"}.get(root, "")
    for name in {"hostunit-1-rs", "hostunit-1-g"} - {others}:
        assert any(one["id"] == name for one in found.value["objects"]), (name, found.value["problems"])


def test_A5_what_an_engine_lists_or_needs_is_unknown(host: HostTree) -> None:
    host.bundle("hostunit-1")
    host.write("var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", "no database")
    assert host.verdicts() == {"bundle hostunit-1": "unknown"}
    assert "cannot be read" in host.evidence("bundle hostunit-1")


def test_A4_also_where_its_configuration_puts_the_database(host: HostTree) -> None:
    host.bundle("hostunit-1")
    host.write("etc/containerd/config.toml", 'version = 2\nroot = "/data/containerd"\n')
    host.write("data/containerd/io.containerd.metadata.v1.bolt/meta.db", "no database")
    assert host.verdicts() == {"bundle hostunit-1": "unknown"}


def test_A10_a_bundle_of_another_engine(host: HostTree) -> None:
    host.write("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/hostunit-1/config.json", "{}")
    host.write("var/lib/rancher/k3s/agent/containerd/io.containerd.metadata.v1.bolt/meta.db", "no database")
    host.bundle("hostunit-2")
    assert host.verdicts() == {"bundle hostunit-1": "unknown", "bundle hostunit-2": "leftover"}


def test_A10_each_root_of_runsc_once(host: HostTree) -> None:
    host.gvisor("hostunit-1", "run/containerd/runsc/k8s.io")
    host.gvisor("hostunit-1", "run/docker/runtime-runsc/moby")
    host.gvisor("hostunit-1")
    objects = host.info().value["objects"]
    assert sorted(one["paths"][0].partition("/run/")[2].rpartition("/")[0] for one in objects) == [
        *("containerd/runsc/k8s.io", "docker/runtime-runsc/moby", "runsc")
    ]


def test_A10_var_run_leads_into_the_tree(host: HostTree) -> None:
    """Where the default root of runsc lies, by a link that would lead out of it."""
    host.gvisor("hostunit-1")
    assert host.verdicts() == {"sandbox hostunit-1": "leftover"}


def test_D5_the_template_and_hidden_names_are_nobodys(host: HostTree) -> None:
    host.folder("run/vc/vm/template")
    host.folder("run/vc/vm/.unknown")
    host.folder("run/kata-containers/shared/sandboxes/.hidden")
    host.folder("run/kata-containers/shared/direct-volumes/hostunit-1")
    host.write("run/kata-containers/cache.sock")
    assert host.verdicts() == {}


def test_D5_a_machine_of_a_factory_is_kept_with_what_leads_to_it(host: HostTree) -> None:
    """It is no object of its own, though nothing of it carries the sandbox's name."""
    (host.kata_persist("hostunit-1") / "persist.json").unlink()
    os.mkfifo(host.root / "run/vc/sbs/hostunit-1/persist.json")
    host.folder("run/vc/vm/hostunit-machine-7")
    host.folder("run/vc/vm/hostunit-machine-8")
    (host.root / "run/vc/vm/hostunit-1").symlink_to("/run/vc/vm/hostunit-machine-7")
    assert host.verdicts() == {"sandbox hostunit-1": "unknown", "sandbox hostunit-machine-8": "leftover"}


def test_A7_what_kata_1_11_leaves_in_the_old_store_does_not_hide_its_newer_state(host: HostTree) -> None:
    """Its machine may run elsewhere, as only persist.json tells (runtime#2921)."""
    content = {"HypervisorState": {"Type": "remote"}, "Config": {"HypervisorType": "remote"}}
    for name in ("hostunit-1", "hostunit-2"):
        host.write(f"run/vc/sbs/{name}/persist.json", json.dumps(content))
    host.folder("var/lib/vc/sbs/hostunit-1")
    host.write("var/lib/vc/sbs/hostunit-3/lock")
    assert host.verdicts() == {
        "sandbox hostunit-1": "unknown",
        "sandbox hostunit-2": "unknown",
        "sandbox hostunit-3": "leftover",
    }
    assert set(host.verdicts(layouts=["kata_store"])) == {"sandbox hostunit-3"}


QEMU = json.dumps({"Config": {"HypervisorType": "qemu"}})
NOTHING, NO_PODS, PODS, A_POD, NO_FOLDER = "", "run/peerpod", "run/peerpod/pods/other", "run/peerpod/pods/web-1", "file"
PEERS = {
    "an empty document": ("", {NOTHING: "leftover", NO_PODS: "unknown", PODS: "unknown", A_POD: "unknown"}),
    "a cut document": ('{"HypervisorState":{"Type":"remo', {NOTHING: "leftover", PODS: "unknown", A_POD: "unknown"}),
    "no document": (None, {NOTHING: "leftover", PODS: "unknown", A_POD: "unknown"}),
    "a machine of its own": (QEMU, {NO_PODS: "leftover", PODS: "leftover", A_POD: "unknown", NO_FOLDER: "unknown"}),
}


@pytest.mark.parametrize(
    ("text", "there", "verdict"),
    [(text, there, verdict) for text, cases in PEERS.values() for there, verdict in cases.items()],
    ids=[f"{name}, {there or 'nothing'}" for name, (_text, cases) in PEERS.items() for there in cases],
)
def test_A7_a_machine_that_may_run_elsewhere(host: HostTree, text: str | None, there: str, verdict: str) -> None:
    """What the adaptor has of it tells, where its document does not."""
    state = host.folder("run/vc/sbs/web-1")
    if text is not None:
        (state / "persist.json").write_text(text, encoding="utf-8")
    host.folder(there) if there != NO_FOLDER else host.write("run/peerpod/pods")
    tombstone = host.folder("run/vc/.sbx-del.web-2.0123456789abcdef")
    done = host.prune()
    assert not done.failed, done.msg
    assert host.verdicts() == ({"sandbox web-1": verdict} if verdict == "unknown" else {}), "D2 no more than a rest"
    assert state.exists() is (verdict == "unknown") and not tombstone.exists()
    if verdict == "unknown":
        assert "run/peerpod" in host.evidence("sandbox web-1")


def test_A7_machines_elsewhere_are_looked_for_once(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(kata, "find_peers", looks.append)
    for number in range(20):
        host.kata_persist(f"web-{number}")
    assert set(host.verdicts().values()) == {"leftover"} and len(looks) <= 3, "once for each layout"


def test_the_limit_cuts_the_list_and_not_the_plan(host: HostTree) -> None:
    host.everything()
    found = host.info(limit=2, with_plan=True)
    assert len(found.value["objects"]) == 2 and found.value["truncated"]
    assert len(found.value["plan"]["steps"]) == 8 and found.value["summary"]["total"] == 8
    assert host.info(limit=0).value["objects"] == []
    assert host.info(limit=8).value["truncated"] is False


def test_selected_by_kind_layout_and_pattern(host: HostTree) -> None:
    host.everything("hostunit-1")
    assert set(host.verdicts(kinds=["bundle", "mapping"])) == {"bundle hostunit-1-b", "mapping hostunit-1-m"}
    assert set(host.verdicts(layouts=["kata_rs", "gvisor"])) == {"sandbox hostunit-1-rs", "sandbox hostunit-1-g"}
    assert set(host.verdicts(patterns=["*-go", "hostunit-1-b"])) == {"sandbox hostunit-1-go", "bundle hostunit-1-b"}
    assert host.verdicts(patterns=["hostunit"]) == {}


def test_by_default_what_lives_is_counted_and_not_listed(host: HostTree) -> None:
    host.kata_rs("hostunit-1", os.getpid())
    found = run("sandbox_host_info", {**host.options, "sees_all_processes": None})
    assert [one["verdict"] for one in found.value["objects"]] == ["unknown"]
    assert run("sandbox_host_info", {**host.options, "verdicts": ["live"]}).value["objects"] == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"min_age": -1}, "min_age"),
        ({"limit": -1}, "limit"),
        ({"kinds": []}, "kinds"),
        ({"patterns": []}, "patterns"),
        ({"patterns": ["web-*", ""]}, "patterns: one of them is empty"),
        ({"kinds": ["pod"]}, "kinds"),
    ],
    ids=["a negative age", "a negative limit", "no kinds", "no patterns", "an empty pattern", "an unknown kind"],
)
def test_refused(host: HostTree, options: dict[str, object], why: str) -> None:
    found = run("sandbox_host_info", {**host.options, **options})
    assert found.failed and why in found.msg


def test_B4_files_come_before_processes_and_these_before_sockets_and_mounts(
    host: HostTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that moves or ends while the host is read must not be missed in both."""
    host.everything()
    order: list[str] = []

    def told(owner: Any, name: str, word: str) -> None:
        look = getattr(owner, name)

        def looked(*given: Any, **more: Any) -> Any:
            order.append(word)
            return look(*given, **more)

        monkeypatch.setattr(owner, name, looked)

    told(Candidate, "read", "files")
    told(ProcessTable, "scan", "processes")
    told(sockets, "listeners", "sockets")
    told(MountSurvey, "read", "mounts")
    host.info()
    first = list(dict.fromkeys(order))
    assert first[:2] == ["files", "processes"] and set(first[2:]) == {"sockets", "mounts"}, order
    assert "files" not in order[order.index("processes") :], order
