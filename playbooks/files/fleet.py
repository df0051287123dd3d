# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On the controller, once for all hosts: write the plans of an audit, and say in words how the fleet is.

``python fleet.py audit|prune`` reads ``{directory, dry, hosts: {name: result of the host's task}}`` as JSON and prints
``{lines, failed: {name: reason}}``. A task for each host would take longer than looking at the host does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any
from urllib.parse import quote

Hosts = dict[str, dict[str, Any]]
SHOWN = ("msg", "objects", "truncated", "problems", "plan")
LONGEST = 300  # characters of a reason
NAMED = 3
GONE = "It is gone."  # what sandbox_prune says of a step that somebody took before


def file_of(directory: str, host: str) -> str:
    """Where the plan of a host lies. The playbook prune makes the same name."""
    return os.path.join(directory, f"{quote(host, safe='')}.json")


def has_failed(result: dict[str, Any]) -> bool:
    """Whether the task of a host came to no result."""
    return bool(result.get("failed") or result.get("unreachable"))


# -- audit -------------------------------------------------------------------------------------------------------------


def write_plans(directory: str, hosts: Hosts) -> None:
    """One file a host, as it was seen now. A host that could not be looked at has none: an older one was not reviewed
    together with the others."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    for host, result in hosts.items():
        path = file_of(directory, host)
        if not has_failed(result):
            write(path, json.dumps({"host": host, **{key: result.get(key) for key in SHOWN}}, indent=1))
        elif os.path.lexists(path):
            os.unlink(path)


def write(path: str, text: str) -> None:
    """The old file or the new one, never a part of it, for its owner alone."""
    descriptor, scratch = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(f"{text}\n")
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def audit(directory: str, dry: bool, hosts: Hosts) -> list[str]:
    """Write the plans, and tell of each host that is not simply clean."""
    if not dry:
        write_plans(directory, hosts)
    said = {host: seen(result) for host, result in hosts.items()}
    failed = [host for host, result in hosts.items() if has_failed(result)]
    leftovers = [host for host in hosts if counted(hosts[host], "leftover")]
    unknown = [host for host in hosts if counted(hosts[host], "unknown")]
    clean = [host for host in hosts if not said[host]]
    heads = [
        f"{len(clean)} clean",
        f"{len(leftovers)} with leftovers",
        f"{len(unknown)} with something unknown",
        *([f"{len(failed)} that could not be looked at"] if failed else []),
    ]
    lines = [f"{hosts_in_words(len(hosts))}: {', '.join(heads)}."]
    lines += [f"{host}: {text}" for host, text in said.items() if text]
    if dry:
        return [*lines, "Check mode: no plan was written."]
    return [*lines, f"The plans are in {directory}, one file a host."]


def counted(result: dict[str, Any], verdict: str) -> int:
    """How many objects of a host have a verdict."""
    return 0 if has_failed(result) else int(result["summary"][verdict])


def seen(result: dict[str, Any]) -> str:
    """What there is to say about a host; empty where everything on it lives."""
    if has_failed(result):
        return f"could not be looked at: {reason(result)}"
    parts = []
    leftovers, unknown = counted(result, "leftover"), counted(result, "unknown")
    if leftovers:
        parts.append(f"{leftovers} leftover{'' if leftovers == 1 else 's'}")
    if unknown:
        first = next((one for one in result["objects"] if one["verdict"] == "unknown"), None)
        why = f" ({first['kind']} {first['id']}: {cut(first['evidence'][0])})" if first else ""
        parts.append(f"{unknown} unknown{why}")
    parts += [f"not all could be looked at: {cut(problem)}" for problem in result["problems"][:NAMED]]
    return ", ".join(parts) + ("." if parts else "")


# -- prune -------------------------------------------------------------------------------------------------------------


def prune(directory: str, dry: bool, hosts: Hosts) -> list[str]:
    """Tell of each host on which something was done, skipped or failed."""
    skipped = [host for host, result in hosts.items() if result.get("skipped")]
    without = [host for host in skipped if not os.path.isfile(file_of(directory, host))]
    failed = [host for host, result in hosts.items() if has_failed(result)]
    changed = [host for host, result in hosts.items() if result.get("changed")]
    waiting = [host for host, result in hosts.items() if host not in {*failed, *changed} and kept_of(result)]
    rest = len(hosts) - len({*without, *failed, *changed, *waiting})
    heads = [
        f"leftovers {'would be' if dry else 'were'} removed on {len(changed)}",
        f"nothing was to be done on {rest}",
        *([f"leftovers were only skipped on {len(waiting)}"] if waiting else []),
        *([f"{len(without)} skipped because they have no plan"] if without else []),
        *([f"{len(failed)} failed"] if failed else []),
    ]
    lines = [f"{hosts_in_words(len(hosts))}: {', '.join(heads)}."]
    for host, result in hosts.items():
        if host in without:
            lines.append(f"{host}: it has no plan in {directory}, so it was not touched. Audit it first.")
        elif text := ended(result):
            lines.append(f"{host}: {text}")
    return lines


def kept_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that a prune has skipped, those that went away by themselves left out."""
    return [one for one in result.get("objects", ()) if one["action"] == "skipped" and one.get("msg") != GONE]


def ended(result: dict[str, Any]) -> str:
    """How it ended on a host; empty where there was nothing to do."""
    if has_failed(result):
        return f"failed: {reason(result)}"
    kept = kept_of(result)
    if not kept and not result.get("changed"):
        return ""
    done = str(result["msg"]).partition(" skipped")[0].rstrip("0123456789 ")
    if not kept:
        return done
    why = " ".join(f"{one['kind']} {one['id']}: {cut(one.get('msg', ''))}" for one in kept[:NAMED])
    more = f" And {len(kept) - NAMED} more." if len(kept) > NAMED else ""
    return f"{done} {len(kept)} skipped: {why}{more}"


# -- both --------------------------------------------------------------------------------------------------------------


def reason(result: dict[str, Any]) -> str:
    """Why the task of a host came to no result."""
    text = cut(str(result.get("msg") or "no reason is known").removeprefix("Task failed: "))
    return f"unreachable: {text}" if result.get("unreachable") else text


def cut(text: str) -> str:
    """One line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def hosts_in_words(count: int) -> str:
    """How many there are."""
    return f"{count} host{'' if count == 1 else 's'}"


def main(job: str) -> None:
    """Do one of the two."""
    given = json.load(sys.stdin.buffer)  # UTF-8, whatever the locale is
    lines = {"audit": audit, "prune": prune}[job](given["directory"], given["dry"], given["hosts"])
    failed = {host: reason(result) for host, result in given["hosts"].items() if has_failed(result)}
    print(json.dumps({"lines": lines, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1])
