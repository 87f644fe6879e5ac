"""The command `lpc-export`."""

from __future__ import annotations

import sys
from typing import NoReturn

from edge_runtime.cli.common import run_command
from exporters.commands.export import command
from exporters.commands.tools import tools


def main() -> NoReturn:
    """Run the command: exit status 0, 1 for a failure, 2 for wrong usage."""
    if sys.argv[1:2] == ["--reseal"]:
        sys.argv[1] = "reseal"
    run_command(tools if sys.argv[1:2] and sys.argv[1] in tools.commands else command, "lpc-export")
