# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contenders: ours and the peers. Each makes the command that is timed, and looks afterwards whether it did it."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple

from ansible_collections.sandboxed.containers.tests.bench.payload import (
    COLLECTION,
    PING,
    SANDBOXES,
    BenchFailure,
    Many,
    Payloads,
)
from ansible_collections.sandboxed.containers.tests.bench.trees import Site

BARE_LOOP = Path(__file__).with_name("bare_loop.py")
BARE_MKDIRS = Path(__file__).with_name("bare_mkdirs.py")
BUNDLES = Many("container_id", str)
MAPPINGS = Many("mappings", lambda name: {"container_id": name, "sandbox_id": name[::-1]})


class Command(NamedTuple):
    """What is timed. check: is given what it printed; raises BenchFailure where it did not do its work. end: takes back
    what was made for it outside of the site."""

    words: list[str]
    check: Callable[[str], None]
    end: Callable[[], None] = lambda: None


class Contender(NamedTuple):
    """One side of a row. command: made for a site, outside of what is timed. changes: whether it needs a fresh site
    each time."""

    name: str
    command: Callable[[Site, Payloads], Command]
    changes: bool = False


def expect(holds: bool, what: str) -> None:
    """Raise BenchFailure unless it holds."""
    if not holds:
        raise BenchFailure(what)


def is_gone(site: Site, _output: str = "") -> None:
    """Nothing of any sandbox is left."""
    expect(site.is_empty(), f"something is left below {', '.join(map(str, site.stores))}")


def answer(output: str) -> dict[str, Any]:
    """The result that a module printed. Raises BenchFailure where it failed or printed none."""
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError as exc:
        raise BenchFailure(f"the module printed no result: {output[:2000]}") from exc
    expect(not found.get("failed"), f"the module failed: {str(found.get('msg'))[:2000]}")
    return found


def entries_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What a module said of each object, under whatever plural."""
    entries: list[dict[str, Any]] = next(found[plural] for plural in ("sandboxes", "bundles") if plural in found)
    return entries


def options_of(site: Site, **more: Any) -> dict[str, Any]:
    """The options that each call has. The trees lie in a folder of the bench's, which no process can own; the module
    looks at all processes in any case."""
    layout = {"layout": site.kind.layout} if site.kind.layout else {}
    return {**layout, "sees_all_processes": True, **site.roots, **more}


def module(site: Site, payloads: Payloads, name: str, many: Many = SANDBOXES, **options: Any) -> list[str]:
    """The command that runs a module for all sandboxes of a site, as Ansible runs it on a host."""
    return [sys.executable, str(payloads.file(name, options_of(site, **options), site.ids, many))]


def _removal(site: Site, payloads: Payloads, name: str = "sandbox_state", many: Many = SANDBOXES) -> Command:
    def check(output: str) -> None:
        actions = [entry["action"] for entry in entries_of(answer(output))]
        expect(actions == ["deleted"] * len(site.ids), f"{actions.count('deleted')} of {len(site.ids)} were deleted")
        is_gone(site)

    return Command(module(site, payloads, name, many, state="absent"), check)


def _unchanged(output: str) -> None:
    found = answer(output)
    expect(not found["changed"], f"it changed something: {found}")


def _absent_already(site: Site, payloads: Payloads) -> Command:
    return Command(module(site, payloads, "sandbox_state", state="absent"), _unchanged)


def _present_already(site: Site, payloads: Payloads) -> Command:
    (name,) = site.ids
    options = options_of(site, state="present", sandbox_id=name, documents=site.kind.documents(name))
    return Command([sys.executable, str(payloads.file("sandbox_state", options))], _unchanged)


def _look(
    site: Site, payloads: Payloads, name: str = "sandbox_state_info", many: Many = SANDBOXES, **options: Any
) -> Command:
    def check(output: str) -> None:
        verdicts = [entry.get("verdict") for entry in entries_of(answer(output))]
        leftovers = verdicts.count("leftover")
        expect(leftovers == len(verdicts) == len(site.ids), f"{leftovers} of {len(site.ids)} are leftovers")

    return Command(module(site, payloads, name, many, **options), check)


def _rm(site: Site, _payloads: Payloads) -> Command:
    return Command(["rm", "-rf", *map(str, site.stores)], partial(is_gone, site))


def _bare_loop(site: Site, _payloads: Payloads) -> Command:
    def check(output: str) -> None:
        expect(int(output) > 0, "it read nothing")

    return Command([sys.executable, str(BARE_LOOP), *map(str, site.stores)], check)


def _is_mapped(site: Site, _output: str = "") -> None:
    """Each container leads to its sandbox."""
    found = {(path.parent.name, path.name) for path in site.stores[0].glob("*/*")}
    expect(found == {(name, name[::-1]) for name in site.ids}, f"{len(found)} of {len(site.ids)} mappings are there")


def _map(site: Site, payloads: Payloads) -> Command:
    def check(output: str) -> None:
        actions = [entry["action"] for entry in answer(output)["mappings"]]
        expect(actions == ["created"] * len(site.ids), f"{actions.count('created')} of {len(site.ids)} were created")
        _is_mapped(site)

    return Command(module(site, payloads, "container_id_mapping", MAPPINGS), check)


def _bare_mkdirs(site: Site, _payloads: Payloads) -> Command:
    names = site.folder / "names"
    names.write_text("\n".join(site.ids), encoding="utf-8")
    return Command([sys.executable, str(BARE_MKDIRS), str(site.stores[0]), str(names)], partial(_is_mapped, site))


def _ping(_site: Site, payloads: Payloads) -> Command:
    def check(output: str) -> None:
        expect(answer(output).get("ping") == "pong", f"ping answered {output}")

    return Command([sys.executable, str(payloads.file(PING, {}))], check)


def _playbook(site: Site, task: dict[str, Any]) -> list[str]:
    """The command that runs one task by `ansible-playbook`."""
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
    path = site.folder / "playbook.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")  # JSON is YAML
    return [str(Path(sys.executable).with_name("ansible-playbook")), str(path)]


def _task(site: Site, _payloads: Payloads) -> Command:
    task = {"name": "Remove", f"{COLLECTION}.sandbox_state": options_of(site, state="absent", sandbox_id=site.ids)}
    return Command(_playbook(site, task), partial(is_gone, site))


def _looped_file(site: Site, _payloads: Payloads) -> Command:
    """One item a sandbox: its directory of the first store only, half of what ours removes."""
    store = site.stores[0]
    file = {"path": f"{store}/{{{{ item }}}}", "state": "absent"}
    task = {"name": "Remove", "ansible.builtin.file": file, "loop": site.ids}

    def check(_output: str) -> None:
        expect(not list(store.iterdir()), f"something is left below {store}")

    return Command(_playbook(site, task), check)


REMOVAL = Contender("sandbox_state", _removal, changes=True)
BUNDLE_REMOVAL = Contender("container_bundle", partial(_removal, name="container_bundle", many=BUNDLES), changes=True)
ABSENT_ALREADY = Contender("sandbox_state", _absent_already)
PRESENT_ALREADY = Contender("sandbox_state", _present_already)
LOOK = Contender("sandbox_state_info", _look)
LOOK_INSIDE = Contender("sandbox_state_info", partial(_look, with_documents=True))
LOOK_AT_BUNDLES = Contender("container_bundle_info", partial(_look, name="container_bundle_info", many=BUNDLES))
TASK = Contender("sandbox_state", _task, changes=True)
RM = Contender("rm -rf", _rm, changes=True)
LOOP = Contender("bare loop", _bare_loop)
MAP = Contender("container_id_mapping", _map, changes=True)
MKDIRS = Contender("bare mkdirs", _bare_mkdirs, changes=True)
PINGED = Contender("ping", _ping)
LOOPED_FILE = Contender("looped file", _looped_file, changes=True)
