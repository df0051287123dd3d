# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On the controller, once for all hosts: write the plans of an audit, and say in words how the fleet is.

``python fleet.py audit|prune`` reads ``{directory, dry, hosts: {name: result of the host's task}}`` as JSON and prints
``{lines, failed: {name: reason}}``; prune also reads ``faults``, as ``plans`` has printed them. Before the hosts are
reached, ``ready`` reads ``{directory, dry}`` and prints ``{problem}``, empty where plans can be written there, and
``plans`` reads ``{directory, hosts: [name]}`` and prints ``{due: [name], faults: {name: reason}}``: whose plan has
steps, and whose plan is none. A task for each host would take longer than looking at the host does.
"""

from __future__ import annotations

import errno
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
NEW_PLAN = "Make a new plan with sandbox_host_info with_plan=true."  # what it says of a plan for another host or boot
AGAIN = "Audit the host again."


def file_of(directory: str, host: str) -> str:
    """Where the plan of a host lies. The playbook prune makes the same name."""
    return os.path.join(directory, f"{quote(host, safe='')}.json")


def has_failed(result: dict[str, Any]) -> bool:
    """Whether the task of a host came to no result."""
    return bool(result.get("failed") or result.get("unreachable"))


# -- audit -------------------------------------------------------------------------------------------------------------


def ready(directory: str, dry: bool) -> dict[str, str]:
    """Why no plan can be written there: to be known before all hosts were looked at. In check mode nothing is made."""
    try:
        if not dry:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
        elif os.path.lexists(directory) and not os.path.isdir(directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as exc:
        return {"problem": not_written(directory, exc)}
    return {"problem": ""}


def not_written(directory: str, exc: OSError) -> str:
    """Why there are no plans, and what to do."""
    return f"the plans could not be written to {directory}: {exc.strerror}. Set sandbox_plans to another directory."


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


def audit(directory: str, dry: bool, hosts: Hosts) -> tuple[list[str], str]:
    """Write the plans, and tell of each host that is not simply clean; and why all have failed, if they have."""
    problem = ""
    if not dry:
        try:
            write_plans(directory, hosts)
        except OSError as exc:
            problem = not_written(directory, exc)
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
    end = "Check mode: no plan was written." if dry else f"The plans are in {directory}, one file a host."
    return [*lines, problem[:1].upper() + problem[1:] or end], problem


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


def plans(directory: str, hosts: list[str]) -> dict[str, Any]:
    """Whose plan has steps, and whose file has no plan. A host without a file is neither."""
    due, faults = [], {}
    for host in hosts:
        path = file_of(directory, host)
        if not os.path.isfile(path):
            continue
        try:
            if steps_of(path):
                due.append(host)
        except ValueError as exc:
            faults[host] = f"{path}: {exc}. Mend it, or audit the host again."
    return {"due": due, "faults": faults}


def steps_of(path: str) -> list[Any]:
    """The steps of a plan, which the module judges. Raises ValueError in words: people edit these files."""
    try:
        with open(path, encoding="utf-8") as handle:
            found = json.load(handle)
    except OSError as exc:
        raise ValueError(f"it cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError("it is no text in UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise ValueError(f"it is no JSON (line {exc.lineno}, column {exc.colno})") from exc
    except RecursionError as exc:
        raise ValueError("it is no JSON of an audit") from exc
    plan = found.get("plan") if isinstance(found, dict) else None
    if not isinstance(plan, dict):
        raise ValueError("it has no plan")
    if not isinstance(plan.get("steps"), list):
        raise ValueError("its plan has no list of steps")
    steps: list[Any] = plan["steps"]
    return steps


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
    text = cut(str(result.get("msg") or "no reason is known").removeprefix("Task failed: ").replace(NEW_PLAN, AGAIN))
    return f"unreachable: {text}" if result.get("unreachable") else text


def cut(text: str) -> str:
    """One line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def hosts_in_words(count: int) -> str:
    """How many there are."""
    return f"{count} host{'' if count == 1 else 's'}"


def tell(job: str, given: dict[str, Any]) -> dict[str, Any]:
    """The words of an audit or a prune, and the hosts that have failed."""
    hosts: Hosts = given["hosts"]
    problem = ""
    if job == "audit":
        lines, problem = audit(given["directory"], given["dry"], hosts)
    else:
        for host, fault in given.get("faults", {}).items():
            if hosts[host].get("skipped"):  # not so where no plan was asked for
                hosts[host] = {"failed": True, "msg": fault}
        lines = prune(given["directory"], given["dry"], hosts)
    failed = {host: reason(result) for host, result in hosts.items() if has_failed(result)}
    if problem:
        failed = {host: failed.get(host, problem) for host in hosts}
    return {"lines": lines, "failed": failed}


def main(job: str) -> None:
    """Do one of the four."""
    given = json.load(sys.stdin.buffer)  # UTF-8, whatever the locale is
    if job == "ready":
        told: dict[str, Any] = ready(given["directory"], given["dry"])
    elif job == "plans":
        told = plans(given["directory"], given["hosts"])
    else:
        told = tell(job, given)
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
