# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A record of a virtiofsd, as the tests of several layers change it."""

from __future__ import annotations

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import Record

COMMAND_LINE = ("/usr/libexec/virtiofsd", "--fd=3", "--shared-dir=/srv/unit-web")
PID = 2**22 + 4711  # above the kernel's limit: no process has it
NUMBER = 2**40 + 1  # of a socket that the kernel never had
FILE = (2**20 + 1, 2**31 + 1)

OPTIONS: dict[str, Any] = {
    "socket_path": "/run/unit-web.sock",
    "shared_dir": "/srv/unit-web",
    "cache": None,
    "sandbox_mode": None,
    "thread_pool_size": None,
    "announce_submounts": False,
    "posix_lock": False,
    "xattr": False,
    "syslog": False,
    "extra_args": [],
    "executable": "/usr/libexec/virtiofsd",
    "dialect": "rust",
    "log_file": "/var/log/unit-web.log",
    "network_namespace": "",
    "on_quit": "",
}
RECORD = Record(
    name="unit-web",
    machine_id=host.machine_id() or "",
    boot_id=host.boot_id(),
    pid_namespace=host.pid_namespace(),
    pid=PID,
    start_ticks=100,
    command_line=COMMAND_LINE,
    dialect="rust",
    version="1.13.2",
    socket_path="/run/unit-web.sock",
    socket=NUMBER,
    socket_file=(FILE,),
    log_file="/var/log/unit-web.log",
    unit="",
    cgroups=("/sys/fs/cgroup/sandboxed.containers/unit-leaf",),
    options=OPTIONS,
    address="/run/unit-web.sock",
)
