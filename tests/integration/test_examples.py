# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every example of the documentation is run as it stands there, and each README playbook too.

They name real places such as /run, so each runs in a mount namespace of its own with an empty /run and /mnt, where
sandboxes of these names were laid out as runsc would. The short tests give an example's options to the module; the long
ones, which take ten times as long, and those of playbooks give the example to ansible-playbook.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sandboxed.containers.plugins.modules import (
    container_bundle,
    container_bundle_info,
    container_id_mapping,
    container_id_mapping_info,
    sandbox_host_info,
    sandbox_prune,
    sandbox_state,
    sandbox_state_info,
    virtiofsd_daemon,
    virtiofsd_daemon_info,
)
from ansible_collections.sandboxed.containers.tests.lab import real_programs
from ansible_collections.sandboxed.containers.tests.lab.forked import forked
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

COLLECTION = Path(__file__).resolve().parents[2]
KUBERNETES = [
    "5e8491393fab78ba5b249d34442b422520eaffbcd8994d47a0139698680ca4eb",
    "9c01d2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f",
]
HOST = [
    ("run/runsc", "web-1", "web-1"),
    ("run/runsc", "pod-1", "pod-1"),
    ("run/runsc", "pod-1", "sidecar-1"),
    *(("run/containerd/runsc/k8s.io", name, name) for name in KUBERNETES),
    ("mnt/image/run/runsc", "web-1", "web-1"),
]

# Kata sandboxes: the file that each has, by its path. /var/lib is the host's own, so what lies there is made apart.
KATA = {
    f"run/vc/sbs/{KUBERNETES[0]}/persist.json": {"State": "running", "HypervisorState": {"Pid": 0}},
    "run/vc/sbs/web-4/state.json": {"state": "running"},
    "var/lib/vc/sbs/web-4/config.json": {"ID": "web-4", "HypervisorType": "qemu"},
    "var/lib/vc/sbs/web-5/config.json": {"ID": "web-5", "HypervisorType": "qemu"},
}
# Bundles of dead containers, by namespace and id.
BUNDLES = (("k8s.io", "web-1"), ("default", "web-1"), ("default", "web-2"))
SHARE = f"/run/kata-containers/shared/sandboxes/{KUBERNETES[0]}"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with an empty /run"),
]


def examples(module: Any) -> list[Any]:
    """The example tasks, as test parameters named after their sentence."""
    return [pytest.param(task, id=task["name"]) for task in yaml.safe_load(module.EXAMPLES)]


def play(tasks: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    """A play for this host. /run is not the host's here, so that no process of the host can own what lies in it."""
    seen = {"group/sandboxed.containers.containers": {"sees_all_processes": True}}
    return {"hosts": "localhost", "gather_facts": False, "module_defaults": seen, "tasks": tasks, **settings}


def run(tasks: list[dict[str, Any]], folder: Path) -> dict[str, int]:
    """Run tasks in check mode, for real, and again, on a freshly laid out host. The stats of all three together."""
    playbook = folder / "playbook.yml"
    plays = [play(tasks, check_mode=True, diff=True), play(tasks), play(tasks, ignore_errors=True)]
    playbook.write_text(yaml.safe_dump(plays), encoding="utf-8")
    recap = on_a_laid_out_host("ansible-playbook", str(playbook)).rpartition("PLAY RECAP")[2]
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", recap)}


def on_a_laid_out_host(*words: str) -> str:
    """What `main` prints there."""
    unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = [*unshare, sys.executable, __file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    with contextlib.suppress(OSError):
        os.rmdir("/var/lib/vc")  # made to be mounted on; it is left where it is somebody's
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "task",
    [
        *examples(sandbox_state), *examples(container_bundle), *examples(container_id_mapping),
        *examples(virtiofsd_daemon), *examples(sandbox_prune),
    ],
)  # fmt: skip
def test_example_of_a_module_that_changes_something(task: dict[str, Any]) -> None:
    ((module, options),) = ((key, value) for key, value in task.items() if key != "name")
    name = module.rpartition(".")[2]
    if name == "virtiofsd_daemon":
        virtiofsd_or_skip()
    if name == "sandbox_prune":
        options["min_age"] = 0  # the leftovers of the laid-out host are as young as that is
    checked, done, again = json.loads(on_a_laid_out_host(name, json.dumps(options)))
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False), (checked, done, again)
    assert checked["diff"] == done["diff"]
    failed = [bool(answer.get("failed")) for answer in (checked, done, again)]
    assert failed == [False, False, "fail_if_exists" in options], again


@pytest.mark.long
@pytest.mark.parametrize("task", examples(sandbox_state))
def test_example_of_sandbox_state_in_a_play(task: dict[str, Any], tmp_path: Path) -> None:
    once = "fail_if_exists" in task["sandboxed.containers.sandbox_state"]
    stats = run([task], tmp_path)
    assert stats["changed"] == 2, "an example changes something, check mode says so, and the second run does not"
    assert (stats["failed"], stats["ignored"]) == (0, 1 if once else 0)


_IN_A_LONG_RUN = [pytest.param(one, marks=pytest.mark.long) for one in (sandbox_state_info, container_id_mapping_info)]


@pytest.mark.parametrize("module", [container_bundle_info, sandbox_host_info, virtiofsd_daemon_info, *_IN_A_LONG_RUN])
def test_examples_of_a_module_that_looks(module: Any, tmp_path: Path) -> None:
    tasks = yaml.safe_load(module.EXAMPLES)
    if module is virtiofsd_daemon_info:
        virtiofsd_or_skip()
    stats = run(tasks, tmp_path)
    assert (stats["ok"], stats["changed"], stats["failed"]) == (3 * len(tasks), 0, 0)


def virtiofsd_or_skip() -> None:
    try:
        real_programs.standalone_virtiofsd()
    except Unavailable as exc:
        pytest.skip(str(exc))


def test_playbook_of_the_readme(tmp_path: Path) -> None:
    text = (COLLECTION / "README.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (found,) = yaml.safe_load(text)
    stats = run(found["tasks"], tmp_path)
    assert (stats["ok"], stats["changed"], stats["failed"]) == (3 * len(found["tasks"]), 2, 0)


def lay_out() -> None:
    """An empty /run and /mnt, and the sandboxes that the examples speak of, dead, as their runtimes leave them."""
    # Nothing of a containerd that this machine may have is seen.
    for place in (
        "/run",
        "/mnt",
        "/srv",
        "/opt",
        "/var/log",
        "/var/lib/vc",
        *filter(os.path.isdir, ["/var/lib/containerd"]),
    ):
        mount_tmpfs(Path(place))
    os.makedirs("/mnt/image/var")
    os.symlink("/run", "/mnt/image/var/run")
    for root, sandbox_id, container_id in HOST:
        folder = Path("/", root)
        folder.mkdir(parents=True, exist_ok=True)
        document = {"id": container_id, "status": "running", "goferPid": 0, "sandbox": {"id": sandbox_id, "pid": 0}}
        stem = f"{container_id}_sandbox:{sandbox_id}"
        (folder / f"{stem}.state").write_text(json.dumps(document), encoding="utf-8")
        (folder / f"{stem}.lock").touch(mode=0o600)
    for path, content in KATA.items():
        Path("/", path).parent.mkdir(parents=True, exist_ok=True)
        Path("/", path).write_text(json.dumps(content), encoding="utf-8")
    for container_id in ("old-1", "old-2"):
        os.makedirs(f"/run/kata-containers/containers-mapping/{container_id}/web-9")
    for namespace, container_id in BUNDLES:
        bundle = Path("/run/containerd/io.containerd.runtime.v2.task", namespace, container_id)
        (bundle / "rootfs").mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps({"ociVersion": "1.0.2"}), encoding="utf-8")
    for name in ("mounts", "shared"):
        os.makedirs(f"{SHARE}/{name}")
    subprocess.run(["mount", "--bind", f"{SHARE}/mounts", f"{SHARE}/shared"], check=True)


def mount_tmpfs(place: Path) -> None:
    """An empty directory in the place of that one, which stays empty on the host.

    Where it is made for this, another test that runs beside this one may remove it before it is mounted on.
    """
    words = ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(place)]
    for attempt in range(100):
        place.mkdir(parents=True, exist_ok=True)
        if subprocess.run(words, stderr=subprocess.DEVNULL, check=attempt == 99).returncode == 0:
            return


@contextlib.contextmanager
def daemons(wanted: bool, running: bool) -> Iterator[None]:
    """A virtiofsd that can be found, and the daemon that the examples speak of, which has a cgroup on this machine."""
    if not wanted:
        yield
        return
    os.makedirs("/opt/kata/libexec")
    os.makedirs("/srv/web")
    shutil.copy2(real_programs.standalone_virtiofsd(), "/opt/kata/libexec/virtiofsd")
    first = yaml.safe_load(virtiofsd_daemon.EXAMPLES)[0]["sandboxed.containers.virtiofsd_daemon"]
    if running:
        assert forked("virtiofsd_daemon", **first).changed
    try:
        yield
    finally:
        forked("virtiofsd_daemon", name=first["name"], state="stopped")


def main(what: str, details: str) -> None:
    """What runs in the mount namespace: ansible-playbook, or a module in check mode, for real, and again."""
    lay_out()
    if what != "ansible-playbook":
        options = {"sees_all_processes": True, **json.loads(details), "_ansible_diff": True}
        with daemons(what == "virtiofsd_daemon", running=options.get("state") == "stopped"):
            answers = [forked(what, **options, _ansible_check_mode=checks).answer for checks in (True, False, False)]
        print(json.dumps(answers))
        return
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    os.environ.update(ANSIBLE_NOCOLOR="1", ANSIBLE_STDOUT_CALLBACK="default")
    with daemons("virtiofsd" in Path(details).read_text(encoding="utf-8"), running=True):
        done = subprocess.run([ansible, "-i", "localhost,", "-c", "local", details], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
