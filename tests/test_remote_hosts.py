"""Targets and lists of boards."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import ConfigError
from edge_runtime.remote.hosts import Target, parse_target, read_hosts

INVENTORY = """\
# boards in the lab
lonely ansible_host=10.0.0.9

[jetsons]
orin ansible_host=10.0.0.4 ansible_user=ubuntu ansible_port=2222
nano[01:02] ansible_ssh_common_args='-o ProxyJump=gate@lab'

[pis]
pi5 ansible_ssh_private_key_file=~/.ssh/pi  # the fast one

[pis:vars]
ansible_user=pi

[all:vars]
ansible_user = lab

[lab:children]
jetsons
pis
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orin.local", Target("orin.local", name="orin.local")),
        ("ubuntu@10.0.0.4:2222", Target("10.0.0.4", "ubuntu", 2222, name="10.0.0.4")),
        ("pi@[fe80::1%eth0]:22", Target("fe80::1%eth0", "pi", 22, name="fe80::1%eth0")),
        ("ssh://pi@pi5", Target("pi5", "pi", name="pi5")),
    ],
)
def test_target_parts_are_found(text: str, expected: Target) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a b", "user@", "host:0", "host:99999", "host:x", "-oProxyCommand=x", "u@-x", "a@b@c"]
)
def test_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a board|does not begin"):
        parse_target(text)


def test_inventory_gives_hosts_with_their_variables(tmp_path: Path) -> None:
    file = tmp_path / "boards.ini"
    file.write_text(INVENTORY, encoding="utf-8")
    assert read_hosts(file) == [
        Target("10.0.0.9", "lab", name="lonely"),
        Target("10.0.0.4", "ubuntu", 2222, name="orin"),
        Target("nano01", "lab", None, name="nano01", jump="gate@lab"),
        Target("nano02", "lab", None, name="nano02", jump="gate@lab"),
        Target("pi5", "pi", name="pi5", identity="~/.ssh/pi"),
    ]
    assert [str(target) for target in read_hosts(file, "lab")] == ["orin", "nano01", "nano02", "pi5"]
    assert [str(target) for target in read_hosts(file, "pis")] == ["pi5"]


def test_plain_lines_are_hosts(tmp_path: Path) -> None:
    file = tmp_path / "boards.txt"
    file.write_text("ubuntu@orin.local\n\n# not this one\npi@10.0.0.7:2200\nubuntu@orin.local\n", encoding="utf-8")
    assert read_hosts(file) == [
        Target("orin.local", "ubuntu", name="orin.local"),
        Target("10.0.0.7", "pi", 2200, name="10.0.0.7"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no board"),
        ("a\n[open\n", "boards:2: '\\[open' is no section"),
        ("all:\n  hosts:\n", "a YAML inventory is not read"),
        ("a ansible_password=x\n", "boards:1: ansible_password: passwords are not read from files"),
        ("a ansible_port=ssh\n", "ansible_port is 'ssh'"),
        ("a junk\n", "boards:1: 'junk': expected NAME=VALUE"),
        ("n[5:1]\n", r"\[5:1\] is not a range"),
        ("n[1:99999]\n", r"is not a range"),
        ("a 'b\n", "boards:1: No closing quotation"),
        ("[a:children]\nb\n[b:children]\na\n", "contains itself"),
        ("[a:children]\nb\n", "has the child b, which is not in the file"),
    ],
)
def test_list_with_a_mistake_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "boards"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_hosts(file)


def test_list_unknown_group_or_no_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "boards"
    file.write_text("[jetsons]\norin\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no group 'pis'; it has jetsons, ungrouped"):
        read_hosts(file, "pis")
    with pytest.raises(ConfigError, match="cannot be read as a list of boards"):
        read_hosts(tmp_path / "nothing")
