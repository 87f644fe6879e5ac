"""The files of an exported folder: regular ones that lie in it, wherever the folder came from (docs/security.md)."""

from __future__ import annotations

import stat
from pathlib import Path

from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.io.files import kind_of


def file_of(folder: Path, name: str) -> Path:
    """Return the path of a file of an exported folder, to be opened under this name.

    Raises ConfigError if it is missing and FormatError if it is no regular file, or a link that leads out of the folder
    and not to the blobs of the Hub cache that the folder belongs to.
    """
    file = folder / name
    try:
        real, mode = file.resolve(strict=True), file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{file}: missing; an exported folder needs it: copy the whole folder or export the model again"
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise ConfigError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(mode):
        raise FormatError(f"{file}: is {kind_of(mode)}, expected a regular file; copy the folder again", file=str(file))
    home = folder.resolve()
    if not real.is_relative_to(home) and not _is_hub_blob(real, home):
        raise FormatError(
            f"{file}: is a link out of the model's folder, to {real}; put the file itself there, or open the folder "
            "that it lies in",
            file=str(file),
        )
    return file


def _is_hub_blob(real: Path, home: Path) -> bool:
    """Whether a snapshot's link leads to what the cache keeps for it.

    CACHE/models--NAME/snapshots/REVISION/FILE links to CACHE/models--NAME/blobs, and from there, where files are shared
    between models, to CACHE/blobs; as `data_file` in native/store has it.
    """
    for at in (home, *home.parents):
        model = at.parent
        if at.name == "snapshots" and "--" in model.name:
            return real.is_relative_to(model / "blobs") or real.is_relative_to(model.parent / "blobs")
    return False
