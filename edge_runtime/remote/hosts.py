"""Which boards: `USER@HOST:PORT`, plain lists of them, and Ansible-style inventories."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.io.files import read_small_text
from edge_runtime.io.printable import printable

_TARGET = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s:]+)@)?(?:\[(?P<six>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^\s:@/\[\]]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_HOST = re.compile(r"[\w.%:-]+")
"""Nothing that known_hosts or a terminal takes for something else."""
_RANGE = re.compile(r"\[(\d+):(\d+)\]")
_SECTION = re.compile(r"\[([^\[\]:\s]+)(?::(vars|children))?\]")
_MOST_HOSTS = 1000
_MOST_DIGITS = 5
_ALIASES = {"ssh_host": "host", "host": "host", "ssh_user": "user", "user": "user", "ssh_port": "port", "port": "port"}
_SECRETS = ("password", "pass", "become_pass", "become_password", "ssh_pass")


@dataclass(frozen=True)
class Target:
    """A board as SSH reaches it; None: what the user's SSH configuration says.

    `name` is what people call it: in progress lines, tables and names of result files.
    """

    host: str
    user: str | None = None
    port: int | None = None
    name: str = ""
    identity: str | None = None
    jump: str | None = None

    def __str__(self) -> str:
        return self.name or self.host


def parse_target(text: str) -> Target:
    """Return the target that `[USER@]HOST[:PORT]` means, IPv6 addresses in brackets; raises ConfigError."""
    match = _TARGET.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    host = (match["host"] or match["six"]) if match else ""
    if match is None or (port is not None and not 0 < port < 65536) or not _HOST.fullmatch(host):
        raise ConfigError(
            f"{text!r} is not a board: expected [USER@]HOST[:PORT], such as ubuntu@orin.local or pi@[fe80::1]:22"
        )
    return _checked(Target(host, match["user"], port, name=host), repr(text))


def _checked(target: Target, where: str) -> Target:
    """A target whose words are what they seem to be, for SSH, known_hosts and people."""
    if target.host.startswith("-"):
        raise ConfigError(f"{where}: a host's name does not begin with '-'")
    if not _HOST.fullmatch(target.host):
        raise ConfigError(f"{where}: {target.host!r} is no host; expected a name or an address")
    user = target.user
    if user is not None and (not user or user.startswith("-") or printable(user) != user or " " in user):
        raise ConfigError(f"{where}: {user!r} is no user name")
    if target.port is not None and not 0 < target.port < 65536:
        raise ConfigError(f"{where}: {target.port} is no port; expected 1 to 65535")
    return target


def distinct(targets: list[Target], say: Callable[[str], None]) -> list[Target]:
    """Return each board once, with a name of its own; what is left out, or gets a longer name, is said."""
    found: dict[tuple[object, ...], Target] = {}
    for target in targets:
        key = (target.user, target.host, target.port, target.jump)
        if key in found:
            other = "" if str(found[key]) == str(target) else f", as {found[key]}"
            say(f"{target}: is named twice{other}; it is visited once")
        found.setdefault(key, target)
    named = list(found.values())
    for longer in (_with_port, _with_user, _with_jump):
        taken = Counter(map(str, named))
        named = [replace(target, name=longer(target)) if taken[str(target)] > 1 else target for target in named]
    return named


def _with_port(target: Target) -> str:
    return f"{target}:{target.port}" if target.port is not None else str(target)


def _with_user(target: Target) -> str:
    return f"{target.user}@{target}" if target.user else str(target)


def _with_jump(target: Target) -> str:
    return f"{target} through {target.jump}" if target.jump else str(target)


@dataclass
class _Group:
    hosts: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)


def read_hosts(path: Path, group: str | None = None, say: Callable[[str], None] = lambda line: None) -> list[Target]:
    """Return the boards in a file, each once, those of one `group` if asked; raises ConfigError naming file and line.

    A line that is there twice is said.

    The file is an Ansible inventory in INI form ([group], [group:children], [group:vars], host[1:3], ansible_host,
    ansible_user, ansible_port, ansible_ssh_private_key_file, `-J HOST` or `-o ProxyJump=HOST` in
    ansible_ssh_common_args) or has a `[USER@]HOST[:PORT]` a line.
    """
    try:
        text = read_small_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of boards ({error})") from error
    groups = _parse(path, text, say)
    if group is not None and group not in groups:
        raise ConfigError(f"{path}: no group {group!r}; it has {', '.join(sorted(groups))}")
    found: dict[str, Target] = {}
    for name in [group] if group is not None else groups:
        for host, variables in _members(path, groups, name, ()).items():
            found.setdefault(host, _target(path, host, variables))
    if not found:
        raise ConfigError(
            f"{path}: names no board; expected a [USER@]HOST[:PORT] a line, or an Ansible inventory (INI)"
        )
    return list(found.values())


def _parse(path: Path, text: str, say: Callable[[str], None]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {"ungrouped": _Group()}
    current, kind = groups["ungrouped"], None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        place = f"{path}:{number}"
        if raw.startswith("---") or re.fullmatch(r"[\w.-]+:", line):
            raise ConfigError(f"{place}: a YAML inventory is not read; expected INI form, or a host a line")
        section = _SECTION.fullmatch(line)
        if section:
            current, kind = groups.setdefault(section[1], _Group()), section[2]
        elif line.startswith("["):
            raise ConfigError(f"{place}: {line!r} is no section; expected [name], [name:vars] or [name:children]")
        elif kind == "children":
            current.children.append(line)
        elif kind == "vars":
            current.variables.update([_variable(place, line)])
        else:
            _add_hosts(place, line, current, say)
    return groups


def _add_hosts(place: str, line: str, group: _Group, say: Callable[[str], None]) -> None:
    try:
        first, *rest = shlex.split(line, comments=True)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error
    variables = dict(_variable(place, word) for word in rest)
    for host in _expand(place, first):
        if host in group.hosts and not variables:
            say(f"{place}: {host}: is named twice; it is visited once")
        group.hosts.setdefault(host, {}).update(variables)


def _expand(place: str, pattern: str) -> list[str]:
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + _MOST_HOSTS:
        raise ConfigError(f"{place}: {match[0]} is not a range of 1 to {_MOST_HOSTS} hosts")
    numbers = [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
    return [
        host
        for number in numbers
        for host in _expand(place, pattern[: match.start()] + number + pattern[match.end() :])
    ]


def _variable(place: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise ConfigError(f"{place}: {word!r}: expected NAME=VALUE behind a host")
    name, value = name.strip(), value.strip().strip("'\"")
    if name.removeprefix("ansible_") in _SECRETS:
        raise ConfigError(f"{place}: {name}: passwords are not read from files; use a key, or --ask-password")
    return name, value


def _members(path: Path, groups: dict[str, _Group], name: str, above: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Hosts of a group and of its children, with their variables: a host's own win, then the nearest group's."""
    if name in above:
        raise ConfigError(f"{path}: group {name} contains itself ({' > '.join((*above, name))})")
    if name not in groups:
        raise ConfigError(f"{path}: group {above[-1]} has the child {name}, which is not in the file")
    group = groups[name]
    found = {host: dict(variables) for host, variables in group.hosts.items()}
    for child in group.children:
        for host, variables in _members(path, groups, child, (*above, name)).items():
            found[host] = {**variables, **found.get(host, {})}
    everywhere = groups["all"].variables if "all" in groups and not above else {}
    return {host: {**everywhere, **group.variables, **variables} for host, variables in found.items()}


def _target(path: Path, host: str, variables: dict[str, str]) -> Target:
    base = parse_target(host)
    known = {
        _ALIASES[key]: value for name, value in variables.items() if (key := name.removeprefix("ansible_")) in _ALIASES
    }
    port = known.get("port")
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= _MOST_DIGITS):
        raise ConfigError(f"{path}: {host}: ansible_port is {port!r}; expected a number")
    found = replace(
        base,
        host=known.get("host", base.host),
        user=known.get("user", base.user),
        port=int(port) if port else base.port,
        identity=variables.get("ansible_ssh_private_key_file") or variables.get("ansible_private_key_file"),
        jump=_jump(variables.get("ansible_ssh_common_args", "")),
    )
    return _checked(found, f"{path}: {host}")


def _jump(arguments: str) -> str | None:
    match = re.search(r"-J\s*(\S+)|-o\s*ProxyJump[= ](\S+)", arguments)
    return (match[1] or match[2]).strip("'\"") if match else None
