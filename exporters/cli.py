"""The command `lpc-export`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from edge_runtime.cli.fence import run_command
from exporters.commands.export import command
from exporters.commands.tools import tools


def main() -> NoReturn:
    """Run the command: exit status 0, 1 for a failure, 2 for wrong usage."""
    if sys.argv[1:2] == ["--reseal"]:
        sys.argv[1] = "reseal"
    run_command(tools if set(_words()[:1]) & set(tools.commands) else command, "lpc-export")


def _words() -> list[str]:
    """The arguments; where a shell completes a line, the words of that line."""
    return os.environ.get("COMP_WORDS", "").split()[1:] if "_LPC_EXPORT_COMPLETE" in os.environ else sys.argv[1:]
