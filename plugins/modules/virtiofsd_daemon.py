#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtiofsd_daemon
short_description: Start or stop a virtiofsd that shares a directory with a virtual machine
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Starts a virtiofsd, the one in Rust or QEMU's one in C, and returns when it serves. The module listens on the socket
    itself and hands it over, as Kata Containers does.
  - A daemon that was started is known by a record of its pid, start time, boot and command line. Stopping it never
    ends another process that has its pid by now.
  - The daemon outlives the task, an ssh session and a timer. Where systemd runs, it is a transient unit of its own,
    otherwise it has a cgroup of its own where that is possible.
  - It serves one client, and ends when that leaves. The next run of the task starts it again. The role
    P(sandboxed.containers.sandbox_virtiofsd#role) has units that do so for each client.
options:
  state:
    description:
      - V(started) makes sure that it runs. One without a client is restarted where its socket is gone, since none could
        come. V(stopped) ends it, and removes its socket and record. V(restarted) ends it if it runs, also with a
        client, and starts it; without O(socket_path) and O(shared_dir) as it was.
    type: str
    choices: [started, stopped, restarted]
    default: started
  name:
    description:
      - A name for the daemon. With O(state=stopped) also a list of names, or a text with commas. An empty list means
        none, nothing changes.
      - Quote names that look like numbers.
    type: raw
    required: true
  socket_path:
    description:
      - The socket that the VMM connects to, at most 107 bytes. It gets the owner and group of its directory.
      - A stale socket is replaced, one on which somebody listens is refused.
    type: path
  shared_dir:
    description:
      - The directory that is shared.
    type: path
  executable:
    description:
      - The daemon. C(/usr/libexec/virtiofsd), C(/usr/lib/qemu/virtiofsd), C(/usr/lib/virtiofsd) or
        C(/opt/kata/libexec/virtiofsd) when omitted, the first that is there.
    type: path
  dialect:
    description:
      - Which daemon it is. V(auto) asks the executable (C(--version)).
    type: str
    choices: [auto, rust, c]
    default: auto
  cache:
    description:
      - The cache mode, V(auto), V(always), V(metadata) (the one in Rust, from 1.8.0 on) or V(never). The daemon's own
        default, which is auto, when omitted.
    type: str
  sandbox_mode:
    description:
      - How the daemon isolates itself. The daemon's own default, which is namespace, when omitted. The one in C does
        not know V(none).
    type: str
    choices: [namespace, chroot, none]
  thread_pool_size:
    description:
      - The number of threads at most. The daemon's own default when omitted.
    type: int
  announce_submounts:
    description:
      - Tell the guest which directories are mount points on the host.
    type: bool
    default: false
  posix_lock:
    description:
      - Remote POSIX locks. The one in Rust has none.
    type: bool
    default: false
  xattr:
    description:
      - Extended attributes.
    type: bool
    default: false
  syslog:
    description:
      - Let the daemon write to syslog. True when omitted, unless there is a O(log_file).
    type: bool
  log_file:
    description:
      - The file that the daemon's output is added to.
    type: path
  extra_args:
    description:
      - Further arguments, one an element, as the daemon wants them.
    type: list
    elements: str
    default: []
  network_namespace:
    description:
      - The network namespace that it runs in, by its name (C(ip netns)) or path.
    type: str
  on_change:
    description:
      - What to do where it runs with other options. Its virtual machine loses its file system when it is restarted.
    type: str
    choices: [refuse, restart]
    default: refuse
  on_quit:
    description:
      - A command that follows when the daemon ends by itself, and not when a task ends it. Split into words as a shell
        does; the first is the absolute path of a program.
      - Carried out by the daemon's transient unit, and refused where no systemd runs.
    type: str
  run_dir:
    description:
      - The directory of the records, C(/run/sandboxed.containers/virtiofsd) below O(host_root) when omitted.
      - A daemon runs on this machine. With another O(host_root), only a directory outside of it is taken to start one
        or to end one that runs.
    type: path
  stop_timeout:
    description:
      - How long a daemon may take to end after SIGTERM, in seconds. SIGKILL follows.
    type: float
    default: 10
  force:
    description:
      - With O(state=stopped), stop it although a client is connected, or although that cannot be told.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.locking
  - sandboxed.containers.options.writing
  - sandboxed.containers.attributes
requirements:
  - Linux 5.3 or newer
seealso:
  - module: sandboxed.containers.virtiofsd_daemon_info
"""

EXAMPLES = r"""
- name: Share a directory with a virtual machine
  sandboxed.containers.virtiofsd_daemon:
    name: web-data
    socket_path: /run/web-data.sock
    shared_dir: /srv/web
    cache: auto
    log_file: /var/log/web-data.log

- name: Share it read-only with another cache mode, also if that restarts the daemon
  sandboxed.containers.virtiofsd_daemon:
    name: web-data
    socket_path: /run/web-data.sock
    shared_dir: /srv/web
    cache: never
    extra_args: [--readonly]
    log_file: /var/log/web-data.log
    on_change: restart

- name: Stop it
  sandboxed.containers.virtiofsd_daemon:
    name: web-data
    state: stopped
"""

RETURN = r"""
msg:
  description: What was done, or in check mode would be, in words. Where something failed, which and why.
  returned: always
  type: str
  sample: 1 daemon started.
daemons:
  description: What was done to each daemon, in the order of the options.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the daemon.
      type: str
      returned: always
      sample: web-data
    socket_path:
      description: Its socket.
      type: str
      returned: when it has a record
      sample: /run/web-data.sock
    paths:
      description: Its socket and its record.
      type: list
      elements: str
      returned: always
      sample: [/run/web-data.sock, /run/sandboxed.containers/virtiofsd/web-data.json]
    pid:
      description: Its main process.
      type: int
      returned: when it runs, or ran until this task
      sample: 4711
    dialect:
      description: V(rust) or V(c).
      type: str
      returned: when it runs
      sample: rust
    version:
      description: What the executable says for its version.
      type: str
      returned: when it runs and that is known
      sample: 1.13.2
    unit:
      description: Its transient unit.
      type: str
      returned: when it runs as one
      sample: sandboxed-virtiofsd-web-data-1f4e7d0a.service
    action:
      description: V(created) (started), V(updated) (restarted), V(deleted) (stopped), V(unchanged) or V(failed).
      type: str
      returned: always
      sample: created
    msg:
      description: Why it failed and the way out.
      type: str
      returned: when there is something to say
      sample: >-
        Daemon 'web-data': a client is connected: virtiofsd (pid 4711, running since 02:14) serves /run/web-data.sock,
        and is used. Stop its virtual machine first, or set force=true: it loses its file system then. Nothing was
        changed.
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.change_task import change_items
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_options import (
    DAEMON_OPTIONS,
    items_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    task = make_task(DAEMON_OPTIONS)
    try:
        items = items_of(task.params)
    except StateError as error:
        task.fail_json(str(error))
    change_items(task, "daemons", items)


if __name__ == "__main__":
    main()
