# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks secrets before anything leaves the module: diffs, evidence, results, log lines (promise 8)."""

from __future__ import annotations

import re
from typing import Any

MASK = "********"
# The last words of compound names: db_password, apiKey, --registry-token. "compass" and "keyboard" are none of them.
_WORDS = r"pass|passwd|password|passphrase|secret|token|tokens|credential|credentials"
_KEYS = r"(?:api|private|access|auth|encryption|signing|ssl|tls)[_-]?key"
_SECRET_KEY = re.compile(rf"(?:^|[^a-z])(?:{_WORDS})$|(?:passw(?:or)?d|secret|token|{_KEYS})$", re.I)
_SECRET_FLAG = re.compile(rf"{_SECRET_KEY.pattern}|(?:^|[-_])key$", re.I)
_ENVIRONMENT_KEY = re.compile(r"^(env|envs|environ|environment)$", re.I)
_ARGUMENTS_KEY = re.compile(r"^(args|extra_args|argv|cmd|command|entrypoint)$", re.I)
_COMMAND_KEY = re.compile(r"^on_quit$")  # a whole command line in one text
_ARGUMENT = re.compile(r"^(?P<flag>-{0,2}[A-Za-z0-9_.-]+)(?P<sep>[=:])(?P<value>.*)$", re.S)


def masked(value: Any, key: str = "") -> Any:
    """A copy of a JSON value in which no value of an environment variable, password, token or key is left."""
    if _ENVIRONMENT_KEY.search(key):
        return _masked_environment(value)
    if _SECRET_KEY.search(key):
        return _blank(value)
    if isinstance(value, dict):
        return {name: masked(element, str(name)) for name, element in value.items()}
    if isinstance(value, list):
        if _ARGUMENTS_KEY.search(key) and all(isinstance(element, str) for element in value):
            return masked_arguments(value)
        return [masked(element) for element in value]
    if isinstance(value, str) and _COMMAND_KEY.search(key):
        return " ".join(masked_arguments(value.split(" ")))
    return value


def _blank(value: Any) -> Any:
    """Every value below a secret key is one; what says nothing (null, a boolean, an empty text) stays readable."""
    if isinstance(value, dict):
        return {name: _blank(element) for name, element in value.items()}
    if isinstance(value, list):
        return [_blank(element) for element in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _masked_environment(value: Any) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    if isinstance(value, list):
        return [_masked_variable(element) for element in value]
    return value if value is None else _masked_variable(value)


def masked_arguments(arguments: list[str] | tuple[str, ...]) -> list[str]:
    """A command line whose secrets are masked: --password=X, --token X, NAME_SECRET=X."""
    shown: list[str] = []
    secret_follows = False
    for argument in arguments:
        match = _ARGUMENT.match(argument)
        if secret_follows and not argument.startswith("--"):
            shown.append(MASK)
            secret_follows = False
            continue
        secret_follows = False
        if match and _SECRET_FLAG.search(match["flag"]):
            shown.append(f"{match['flag']}{match['sep']}{MASK}")
            continue
        shown.append(argument)
        secret_follows = argument.startswith("-") and bool(_SECRET_FLAG.search(argument))
    return shown


def _masked_variable(variable: Any) -> Any:
    """A NAME=value text, or the {"name": …, "value": …} form of the CRI, without its value."""
    if isinstance(variable, str):
        return f"{variable.split('=', 1)[0]}={MASK}"
    if isinstance(variable, dict):
        return {key: element if key.lower() in ("name", "var") else MASK for key, element in variable.items()}
    return MASK
