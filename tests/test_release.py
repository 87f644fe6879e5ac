"""Releases: the reference of the C API, notes, checksums, and README.md as a package index gets it."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from pages import links
from real_models import ROOT

HEADER = ROOT / "native/include/lpc/lpc.h"
GROWN = ("} lpc_session_stats;", "  uint64_t more;\n} lpc_session_stats;")  # a struct that tells its size


def script(path: str) -> ModuleType:
    """Import a script of the repository that is in no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


abi, release, index_readme = (
    script("native/abi/abi.py"),
    script("native/wheel/release.py"),
    script("native/wheel/index_readme.py"),
)


def project() -> str:
    return (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def edited(folder: Path, *changes: tuple[str, str]) -> Path:
    """A copy of lpc.h with the first place of each text replaced."""
    text = HEADER.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    copy = folder / "lpc.h"
    copy.write_text(text, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of the C API as it is now."""
    if shutil.which("abidiff") is None or shutil.which("cc") is None:
        pytest.skip("libabigail or a C compiler is not installed: native/system_packages.sh abi")
    out = tmp_path_factory.mktemp("abi") / "reference.abi"
    abi.describe(HEADER, out)
    return out


def difference(reference: Path, header: Path) -> str:
    present = header.with_suffix(".abi")
    abi.describe(header, present)
    return str(abi.changes(reference, present, header))


def test_c_api_breaks_no_program_of_the_last_release(reference: Path) -> None:
    assert abi.changes(abi.REFERENCE, reference, HEADER) == ""


def test_c_api_stubs_have_every_function_type_and_field() -> None:
    text = abi.stubs(HEADER)
    header = HEADER.read_text(encoding="utf-8")
    assert text.count("__builtin_trap") == header.count("\nLPC_EXPORT ")
    assert text.count("void type_") == len(re.findall(r"^typedef ", header, re.MULTILINE))
    assert "field_lpc_tensor_desc_shape" in text
    assert "field_lpc_session_stats_transcode_ns" in text


def test_c_api_additions_are_no_break(reference: Path, tmp_path: Path) -> None:
    header = edited(
        tmp_path,
        (
            "LPC_EXPORT const char* lpc_version(void);",
            "LPC_EXPORT const char* lpc_version(void);\nLPC_EXPORT int lpc_new(int x);",
        ),
        ("  LPC_CODEC_BITMAP = 4", "  LPC_CODEC_BITMAP = 4,\n  LPC_CODEC_NEW = 5"),
        GROWN,
    )
    assert difference(reference, header) == ""


CHANGES = {
    "function gone": ("lpc_implementations", [("LPC_EXPORT const char* lpc_implementations(void);\n", "")]),
    "enumerator renumbered": ("LPC_CODEC_BITMAP", [("LPC_CODEC_BITMAP = 4", "LPC_CODEC_BITMAP = 5")]),
    "field of another type": ("wait_ns", [("  uint64_t wait_ns; ", "  double wait_ns; "), GROWN]),
    "field moved": ("wait_ns", [("  uint64_t wait_ns; ", "  uint64_t more;\n  uint64_t wait_ns; ")]),
    "struct of fixed size grown": ("lpc_tensor_desc", [("} lpc_tensor_desc;", "  uint32_t more;\n} lpc_tensor_desc;")]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_c_api_change_is_named(reference: Path, tmp_path: Path, case: str) -> None:
    named, changes = CHANGES[case]
    assert named in difference(reference, edited(tmp_path, *changes))


def test_notes_are_the_section_of_the_version() -> None:
    changelog = "# Changelog\n\n## [Unreleased]\n\nNothing.\n\n## [0.2.0] - 2027\n\n- new\n\n## [0.1.0]\n\n- old\n"
    assert release.notes(changelog, "0.2.0") == "- new\n"
    assert release.notes(changelog, "0.1.0") == "- old\n"


@pytest.mark.parametrize("number", ["0.3.0", "0.1", "0.4.0"])
def test_notes_missing_or_empty_are_named(number: str) -> None:
    with pytest.raises(release.ReleaseError, match=re.escape(f"nothing under ## [{number}]")):
        release.notes("## [0.4.0]\n\n## [0.1.0]\n\n- old\n", number)


def test_changelog_has_notes_for_this_version() -> None:
    assert "### Added" in release.notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), release.version(ROOT))


def test_version_that_differs_is_named(tmp_path: Path) -> None:
    (tmp_path / "native").mkdir()
    (tmp_path / "pyproject.toml").write_text('version = "0.2.0"\n', encoding="utf-8")
    (tmp_path / "native/CMakeLists.txt").write_text("project(lpc VERSION 0.1.0 LANGUAGES CXX)\n", encoding="utf-8")
    with pytest.raises(release.ReleaseError, match=r"0\.2\.0 in pyproject\.toml and 0\.1\.0"):
        release.version(tmp_path)


def test_release_wants_one_wheel_an_architecture(tmp_path: Path) -> None:
    for machine in ("x86_64", "aarch64"):
        with pytest.raises(release.ReleaseError, match="expected one for each of"):
            release.wheels(tmp_path, "0.1.0")
        (tmp_path / f"lpc_edge_runtime-0.1.0-py3-none-manylinux_2_35_{machine}.whl").touch()
        (tmp_path / f"lpc_edge_runtime-0.0.9-py3-none-manylinux_2_35_{machine}.whl").touch()
    assert len(release.wheels(tmp_path, "0.1.0")) == 2


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"abc")
    sums = release.checksums([tmp_path / "a.whl"])
    assert sums == f"{hashlib.sha256(b'abc').hexdigest()}  a.whl\n"
    (tmp_path / "SHA256SUMS").write_text(sums, encoding="utf-8")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_index_readme_has_whole_addresses() -> None:
    made = index_readme.absolute_links("![a](docs/a.svg) [b](docs/b.md#c) [c](#d) [e](https://f)", "https://host/us")
    assert made == (
        "![a](https://host/us/raw/main/docs/a.svg) [b](https://host/us/blob/main/docs/b.md#c) [c](#d) [e](https://f)"
    )


def test_index_readme_of_ours_has_no_relative_link(tmp_path: Path) -> None:
    text = index_readme.absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), "https://host/us")
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert len(links(ROOT / "README.md")) > 20
    assert links(tmp_path / "README.md") == []


def test_index_readme_uses_the_repository_of_the_urls() -> None:
    addresses = re.findall(r'^Repository = "(.+)"|repository = "(.+)" }', project(), re.MULTILINE)
    assert len(addresses) == 2
    assert len({named or used for named, used in addresses}) == 1
