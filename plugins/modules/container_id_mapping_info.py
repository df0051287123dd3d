#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_id_mapping_info
short_description: Show Kata 1.x's mappings of containers to sandboxes
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Shows the directories by which the command line of Kata Containers 1.x finds the sandbox of a container, and whether
    that sandbox has a state in any layout.
  - Looking changes nothing.
options:
  container_id:
    description:
      - Exact name of a container, a list of names, or a text with commas.
      - All containers when omitted, none with an empty list.
    type: raw
  root:
    description:
      - The directory of the mappings. See O(sandboxed.containers.container_id_mapping#module:root).
    type: path
  bundle:
    description:
      - The path of a bundle below O(host_root), to be told whether it is a directory and where it really is. An empty
        one is refused.
    type: path
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.not_locking
  - sandboxed.containers.options.not_writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes.info
seealso:
  - module: sandboxed.containers.container_id_mapping
"""

EXAMPLES = r"""
- name: Look at all mappings of this host
  sandboxed.containers.container_id_mapping_info:
  register: host

- name: Before a container is created, ask what Kata asks, that its id is free and its bundle is a directory
  sandboxed.containers.container_id_mapping_info:
    container_id: new-1
    bundle: /run/containerd/io.containerd.runtime.v2.task/default/web-1
  register: check
  failed_when: check.mappings[0].exists or not check.bundle.is_directory
"""

RETURN = r"""
msg:
  description: The summary in words.
  returned: always
  type: str
  sample: "2 mappings. sidecar-2: it leads to no sandbox: its runtime was killed between two steps."
bundle:
  description:
    - The C(path) that was given, whether it C(is_directory), and as C(resolved) that directory without links.
    - As C(problem) why it is no directory, where it is none.
  returned: with O(bundle)
  type: dict
  sample: {"path": "/var/run/b1", "is_directory": true, "resolved": "/run/b1"}
mappings:
  description: One entry for each mapping, sorted by name, or in the order in which they were given.
  returned: always
  type: list
  elements: dict
  contains:
    container_id:
      description: Name of the container.
      type: str
      returned: always
      sample: sidecar-1
    exists:
      description: Whether there is a mapping.
      type: bool
      returned: always
    state:
      description: V(absent), V(one), V(none) (a crash has left it without a sandbox), V(several), or V(unreadable).
      type: str
      returned: always
      sample: one
    path:
      description: Its directory.
      type: str
      returned: always
    sandbox_id:
      description: The sandbox that it leads to, null where there is not exactly one.
      type: str
      returned: when it exists and could be read
      sample: web-1
    sandboxes:
      description: Every sandbox that it names, each with C(sandbox_id), and C(layouts), in which that has a state.
      type: list
      elements: dict
      returned: when it exists and could be read
      sample: [{"sandbox_id": "web-1", "layouts": ["kata_store"]}]
    age:
      description: Seconds since its newest change, null when the clock was stepped.
      type: int
      returned: when it exists and could be read
    problem:
      description: What is wrong with it.
      type: str
      returned: when something is
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_report import (
    INFO_OPTIONS,
    bundle_check,
    in_words,
    report_all,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    task = make_task(INFO_OPTIONS)
    try:
        entries = report_all(task.params, task.new_view())
        bundle = {"bundle": bundle_check(task.params)} if task.params["bundle"] is not None else {}
    except StateError as error:
        task.fail_json(str(error))
    task.exit_json(changed=False, msg=in_words(entries), mappings=entries, **bundle)


if __name__ == "__main__":
    main()
