# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines other than containerd keep on disk of the containers that they know (safety.md A5).

Docker: /var/lib/docker/containers/<id>/config.v2.json. CRI-O and Podman: a JSON list of {"id": …} in
/var/lib/containers/storage/overlay-containers/containers.json. A stopped container is listed as well: its engine may
start or delete it at any time.
"""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json

DOCKER = "/var/lib/docker/containers"
STORAGE = "/var/lib/containers/storage/overlay-containers"
_STORAGE_FILE = "containers.json"


def docker_ids(directory: Directory) -> set[str]:
    """The ids that Docker lists; its directory may not exist. Raises Unreadable."""
    return set(directory.listed()) if directory.exists else set()


def storage_ids(directory: Directory) -> set[str]:
    """The ids that CRI-O and Podman list; their directory may not exist. Raises Unreadable."""
    data = read_file(directory, _STORAGE_FILE) if directory.exists else None
    if not data:
        return set()  # it is written anew and renamed, so an empty one lists nothing
    path = directory.join(_STORAGE_FILE)
    content = go_json.decode(data, path)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise Unreadable(path, "it is no list of containers")
    ids = {one.get("id") for one in content}
    if not all(isinstance(one, str) for one in ids):
        raise Unreadable(path, "a container in it has no id")
    return ids
