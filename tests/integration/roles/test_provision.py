# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host is provisioned, runs gVisor under containerd, crashes, is audited and pruned, runs it again, and is retired.

Debian's own packages on a systemd that has booted, and nothing but the playbooks between them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import containerd, processes
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted, run_playbook
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, refusal
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

pytestmark = pytest.mark.real
# A container in a container has no network to give, and no device for another platform.
# It has a pid namespace, of which the modules cannot know that all of the host is in it; and nobody waits ten minutes.
VARIABLES = {
    "sandbox_gvisor_options": {"platform": "ptrace", "network": "none", "ignore_cgroups": True},
    **{f"sandbox_{name}_sees_all_processes": True for name in ("audit", "prune", "decommission")},
    **{f"sandbox_{name}_min_age": 0 for name in ("audit", "prune")},
}
GVISOR = ("--runtime=io.containerd.runc.v2", "--runc-binary=/usr/local/bin/runsc-with-options")
# Left by dpkg, and by the work of containerd; what is below /run goes with the next boot.
KEPT = (
    "/var/lib/dpkg", "/var/lib/apt", "/var/lib/containerd", "/run/containerd", "/opt/containerd", "/etc/cni",
    "/srv", "/run/runsc",
)  # fmt: skip


def play(system: Booted, name: str, *flags: str, **variables: Any) -> Outcome:
    """Run a playbook of the collection by its full name. Its plans are in the test's own folder."""
    given = {**VARIABLES, "sandbox_plans": str(system.folder / "plans"), **variables}
    book: list[dict[str, Any]] = [{"import_playbook": f"sandboxed.containers.{name}"}]
    return system.play(book, "-e", json.dumps(given), *flags)


def run_gvisor(system: Booted, name: str) -> None:
    """By the handler's own words: runc's shim, and the script that the role has made."""
    words = ["run", "--detach", "--null-io", "--snapshotter=native", *GVISOR, containerd.IMAGE, name]
    system.must("ctr", *words, *containerd.SLEEP)
    # On a busy host ctr now and then ends before it has copied what a command said that has ended at once.
    hello = ["/bin/sh", "-c", "echo hello; sleep 0.1"]
    said = [system.must("ctr", "tasks", "exec", f"--exec-id={number}", name, *hello) for number in range(3)]
    assert set(said) - {""} == {"hello"}


def kernels(system: Booted, name: str) -> list[str]:
    """The pids of a container's gVisor kernel."""
    return system.run("pgrep", "-f", f"^runsc-sandbox .*{name}").output.split()


def crash(system: Booted, name: str) -> None:
    """containerd and all of one container die at once. systemd starts containerd again, which forgets the container."""
    system.must("pkill", "-KILL", "-f", f"^/usr/bin/containerd$|{name}")
    processes.wait_until(lambda: not kernels(system, name), "the sandbox to end")
    processes.wait_until(lambda: system.run("ctr", "containers", "delete", name).code == 0, "containerd to be back")


def remove(system: Booted, name: str) -> None:
    system.must("ctr", "tasks", "delete", "--force", name)
    system.must("ctr", "containers", "delete", name)


@pytest.mark.long
def test_a_host_is_provisioned_crashes_is_pruned_and_runs_again(system: Booted) -> None:
    before = files(system)
    ahead = play(system, "provision", "--check", "--diff")
    assert changes(ahead) > 0 and "There is no containerd yet" not in ahead.output, ahead.output
    assert files(system) == before
    assert changes(play(system, "provision")) > 0
    assert changes(play(system, "provision")) == 0
    config = system.must("containerd", "config", "dump")
    assert "runtimes.runsc]" in config and 'BinaryName = "/usr/local/bin/runsc-with-options"' in config

    containerd.write_image(system.path("/srv/image.tar"))
    system.must("ctr", "images", "import", "--snapshotter=native", "/srv/image.tar")
    run_gvisor(system, "web-1")
    run_gvisor(system, "web-2")
    in_use = play(system, "decommission", sandbox_decommission_hosts="all")
    assert "booted is in use:" in refusal(in_use)
    survivor = kernels(system, "web-2")
    assert kernels(system, "web-1") and survivor, "nothing of it was touched"

    crash(system, "web-1")
    audit = play(system, "audit")
    assert changes(audit) == 0 and "1 with leftovers" in audit.output, audit.output
    assert changes(play(system, "prune")) > 0
    again = play(system, "audit")
    assert "1 clean" in again.output, again.output
    assert kernels(system, "web-2") == survivor

    run_gvisor(system, "web-1")
    for name in ("web-1", "web-2"):
        remove(system, name)
    checked = play(system, "decommission", "--check", sandbox_decommission_hosts="all")
    assert changes(checked) > 0 and "WARNING" not in checked.output, checked.output
    assert changes(play(system, "decommission", sandbox_decommission_hosts="all")) > 0
    assert system.run("sh", "-c", "command -v containerd runsc").output == ""
    left = {path for path in files(system) ^ before if not path.startswith(KEPT)}
    assert left <= {"/etc/containerd", "/etc/containerd/config.toml"}, left  # dpkg keeps a removed package's settings
    nothing = play(system, "decommission", sandbox_decommission_hosts="all")
    assert changes(nothing) == 0 and "WARNING" not in nothing.output, nothing.output


@pytest.mark.long
def test_wrong_input_is_refused(system: Booted) -> None:
    message = refusal(play(system, "provision", sandbox_provision_roles=["gvisor", "docker"]))
    assert "sandbox_provision_roles: docker is none of host, containerd" in message
    assert "Say which hosts: -e sandbox_decommission_hosts=PATTERN" in refusal(play(system, "decommission"))


Given = dict[str, Any]


def here(folder: Path, name: str, *flags: str, imported: Given | None = None, inventory: Given | None = None) -> str:
    """What a playbook says that is refused before it has looked at two hosts, which both are this machine.

    In check mode, so that one that is not refused does no harm.
    """
    own = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    hosts: dict[str, Given] = {host: {**own, **(inventory or {})} for host in ("h1", "h2")}
    book: list[dict[str, Any]] = [{"import_playbook": f"sandboxed.containers.{name}", "vars": imported or {}}]
    outcome = run_playbook(folder, book, hosts, "-e", f"sandbox_plans={folder}/plans", "--check", *flags)
    assert outcome.code == 2 and "changed=1" not in outcome.output, outcome.output
    return " ".join(outcome.output.split())


NO_LIST = {"sandbox_decommission_roles": "gvisor"}  # which is refused as well, after the hosts
HOSTS = "sandbox_decommission_hosts"


@pytest.mark.parametrize(
    ("flags", "imported", "inventory", "asked"),
    [
        ([], {}, {}, ["h1", "h2"]),
        ([], {}, {HOSTS: "h1"}, ["h1", "h2"]),
        (["-e", f"{HOSTS}=h1"], {}, {}, []),
        (["-e", f"{HOSTS}=h1"], {}, {HOSTS: "h2"}, []),
        (["-e", f'{{"{HOSTS}": ["all", "!h2"]}}'], {}, {}, []),
        ([], {HOSTS: "h1"}, {}, []),
    ],
)
def test_a_decommission_wants_its_hosts_and_not_from_the_inventory(
    tmp_path: Path, flags: list[str], imported: Given, inventory: Given, asked: list[str]
) -> None:
    said = here(tmp_path, "decommission", *flags, imported=imported, inventory={**NO_LIST, **inventory})
    assert said.count('"msg": "Say which hosts: -e sandbox_decommission_hosts=PATTERN') == len(asked), said
    assert ("sandbox_decommission_roles is a list of roles" in said) == (asked == []), said
    assert ("h2 : ok=" in said) == (asked != []), said


@pytest.mark.long
@pytest.mark.parametrize("name", ["provision", "decommission"])
@pytest.mark.parametrize("roles", ["gvisor", "", [], {"gvisor": True}])
def test_roles_are_a_list(tmp_path: Path, name: str, roles: Any) -> None:
    given = {f"sandbox_{name}_roles": roles, f"sandbox_{name}_hosts": "h1"}
    said = here(tmp_path, name, "-e", json.dumps(given))
    assert f"sandbox_{name}_roles is a list of roles, and not empty. With -e, give it as JSON:" in said


def test_a_plan_that_is_no_json_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/h1.json").write_text('{"plan":,', encoding="ascii")
    (tmp_path / "plans/h2.json").write_text('{"plan": {"steps": []}}', encoding="ascii")
    said = here(tmp_path, "prune")
    fault = f"{tmp_path}/plans/h1.json: it is no JSON (line 1, column 9). Mend it, or audit the host again."
    assert f'"h1: failed: {fault}"' in said, said
    assert "2 hosts: leftovers would be removed on 0, nothing was to be done on 1, 1 failed." in said


def test_an_audit_whose_plans_cannot_be_written_looks_at_nothing(tmp_path: Path) -> None:
    said = here(tmp_path, "audit", "-e", "sandbox_plans=/etc/passwd")
    assert "No host was looked at: the plans could not be written to /etc/passwd: " in said, said
    assert "Look at all" not in said and "Traceback" not in said, said
