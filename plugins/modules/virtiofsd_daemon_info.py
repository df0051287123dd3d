#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtiofsd_daemon_info
short_description: Show every virtiofsd of a host, and whether it lives
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Shows every virtiofsd that runs, found by its command line, and every record of one that
    M(sandboxed.containers.virtiofsd_daemon) has started; whose it is, what it shares, whether a client is connected.
  - Looking changes nothing. No socket is connected to, since one connection would end the daemon.
options:
  name:
    description:
      - Name of a daemon that M(sandboxed.containers.virtiofsd_daemon) has started, a list of names, or a text with
        commas.
      - Every daemon of the host when omitted, none with an empty list.
    type: raw
  run_dir:
    description:
      - The directory of the records. See O(sandboxed.containers.virtiofsd_daemon#module:run_dir).
    type: path
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.not_locking
  - sandboxed.containers.options.not_writing
  - sandboxed.containers.attributes.info
notes:
  - An executable is asked for its version only where nobody but root could have written it.
seealso:
  - module: sandboxed.containers.virtiofsd_daemon
"""

EXAMPLES = r"""
- name: Look at every virtiofsd of this host
  sandboxed.containers.virtiofsd_daemon_info:
  register: host

- name: Fail unless the share is served
  sandboxed.containers.virtiofsd_daemon_info:
    name: web-data
  register: found
  failed_when: found.daemons[0].verdict | default('absent') != 'live'
"""

RETURN = r"""
msg:
  description: The summary in words.
  returned: always
  type: str
  sample: >-
    2 virtiofsd: 1 live, 1 leftover. Leftover: web-data (recorded pid 4711 is gone).
daemons:
  description: One entry for each daemon. Those that have a record come first, sorted by name, or in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name, null for one that somebody else has started.
      type: str
      returned: always
      sample: web-data
    exists:
      description: Whether there is such a daemon or record.
      type: bool
      returned: always
    record:
      description: The file of its record.
      type: str
      returned: with a name
      sample: /run/sandboxed.containers/virtiofsd/web-data.json
    pid:
      description: Its main process, or a child that is left of it.
      type: int
      returned: when it runs
      sample: 4711
    pids:
      description: All of its processes.
      type: list
      elements: int
      returned: when it runs
      sample: [4711, 4712]
    dialect:
      description: V(rust), V(c), or null.
      type: str
      returned: when it is known what it is
      sample: rust
    version:
      description: What the executable says for its version, or null.
      type: str
      returned: when it is known what it is
      sample: 1.13.2
    executable:
      description: The program.
      type: str
      returned: when it is known what it is
      sample: /usr/libexec/virtiofsd
    shared_dir:
      description: What it shares, null where its command line does not tell.
      type: str
      returned: when it is known what it is
      sample: /srv/web
    socket_path:
      description: Its socket, null where it has none with a name.
      type: str
      returned: when it is known what it is
      sample: /run/web-data.sock
    clients:
      description: How many connections it has, null where that cannot be told.
      type: int
      returned: when it is known what it is
      sample: 1
    sandbox_id:
      description: The sandbox of Kata's that its paths name, or null.
      type: str
      returned: when it is known what it is
      sample: web-1
    started_by:
      description: V(this collection), V(Kata Containers), another product or unit, or null.
      type: str
      returned: when it exists
      sample: this collection
    unit:
      description: Its transient unit, or null.
      type: str
      returned: with a record
      sample: sandboxed-virtiofsd-web-data-1f4e7d0a.service
    verdict:
      description: V(live), V(leftover), V(unknown), or V(foreign), which is another product's and none of ours.
      type: str
      returned: when it exists
      sample: live
    evidence:
      description: The sentences that decided.
      type: list
      elements: str
      returned: when it exists
      sample: ["virtiofsd (pid 4711, running since 02:14) serves /run/web-data.sock, and is used"]
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_report import (
    INFO_OPTIONS,
    in_words,
    report_all,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    task = make_task(INFO_OPTIONS)
    try:
        entries = report_all(task.params, task.new_view())
    except StateError as error:
        task.fail_json(str(error))
    task.exit_json(changed=False, msg=in_words(entries), daemons=entries)


if __name__ == "__main__":
    main()
