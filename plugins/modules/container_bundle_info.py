#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_bundle_info
short_description: Show OCI bundles of containers, and whether anybody still owns them
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Shows the bundles in which containerd keeps its containers on a host, which processes own them, and what follows
    from that.
  - Looking changes nothing. Nothing is connected to, and no lock is taken. What containerd lists is read from its own
    database, whether it runs or not.
options:
  layout:
    description:
      - Who keeps the bundles. See M(sandboxed.containers.container_bundle).
    type: str
    choices: [containerd_v2, containerd_v1, oci]
    required: true
  container_id:
    description:
      - Exact name of a container, a list of names, or a text with commas.
      - All containers when omitted, none with an empty list.
    type: raw
  namespace:
    description:
      - containerd's namespace. All namespaces when omitted.
    type: raw
  state_root:
    description:
      - See O(sandboxed.containers.container_bundle#module:state_root).
    type: path
  work_root:
    description:
      - See O(sandboxed.containers.container_bundle#module:work_root).
    type: path
  path:
    description:
      - With V(oci), the directory that has the bundles.
    type: path
  with_documents:
    description:
      - Return the spec as well. Values of environment variables, passwords, tokens and keys are masked.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.not_locking
  - sandboxed.containers.options.not_writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes.info
seealso:
  - module: sandboxed.containers.container_bundle
"""

EXAMPLES = r"""
- name: Look at all bundles of this host
  sandboxed.containers.container_bundle_info:
    layout: containerd_v2
  register: host

- name: Show what nobody owns any more
  ansible.builtin.debug:
    msg: "{{ host.bundles | selectattr('verdict', 'equalto', 'leftover') | map(attribute='container_id') | list }}"
"""

RETURN = r"""
msg:
  description: The summary in words.
  returned: always
  type: str
  sample: "2 bundles: 1 live, 1 unknown. Unknown: web-2 (containerd lists the container)."
bundles:
  description: One entry for each bundle, sorted by namespace and name, or in the order in which they were given.
  returned: always
  type: list
  elements: dict
  contains:
    container_id:
      description: Name of the container.
      type: str
      returned: always
      sample: web-1
    namespace:
      description: containerd's namespace.
      type: str
      returned: with a layout of containerd's
      sample: k8s.io
    layout:
      description: Who keeps it.
      type: str
      returned: always
      sample: containerd_v2
    exists:
      description: Whether anything of it is on disk.
      type: bool
      returned: always
    verdict:
      description: V(live), V(leftover) or V(unknown).
      type: str
      returned: when it exists
      sample: leftover
    evidence:
      description: What decided, in sentences.
      type: list
      elements: str
      returned: when it exists
      sample: ["recorded pid 4711 (init) is gone", "no process names it"]
    paths:
      description: Everything that it has on disk, the bundle, its work directory, sockets, and rests of broken deletes.
      type: list
      elements: str
      returned: when it exists and could be read
    files:
      description: What the bundle holds, by name.
      type: list
      elements: str
      returned: when it exists and could be read
      sample: [address, config.json, init.pid, log, work]
    missing:
      description: Names that a whole bundle would have and this one has not.
      type: list
      elements: str
      returned: when it exists and could be read
    addresses:
      description: Where its shim listens, as its files say.
      type: list
      elements: str
      returned: when it exists and could be read
    sandbox_id:
      description: The pod that it belongs to, by its annotations, null where there is none or not a single one.
      type: str
      returned: when it exists and could be read
    pids:
      description: The processes that its files name, by what they are, C(init) or C(shim).
      type: dict
      returned: when it exists and could be read
      sample: {"init": 4711}
    mounts:
      description: What is mounted at the bundle or below.
      type: list
      elements: str
      returned: when it exists and could be read
    cgroups:
      description: The directories of its cgroups that are there.
      type: list
      elements: str
      returned: when it exists and could be read
    age:
      description: Seconds since its newest change, null when the clock was stepped.
      type: int
      returned: when it exists and could be read
    size:
      description: Bytes of its files, without its root file system.
      type: int
      returned: when it exists and could be read
    spec:
      description: Its C(config.json).
      type: dict
      returned: with O(with_documents), when it could be read
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_report import report_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_selection import INFO_OPTIONS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.info_words import in_words
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    task = make_task(INFO_OPTIONS)
    try:
        entries = report_all(task.params, task.new_view())
    except StateError as error:
        task.fail_json(str(error))
    task.exit_json(changed=False, msg=in_words(entries, "bundle", "container_id"), bundles=entries)


if __name__ == "__main__":
    main()
