"""The tokenizer of a source: what transformers 5.24 makes of the same files, or one line that says what is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkpoints import write_llama
from real_models import checkpoint_folder
from tokenizers import Tokenizer

from edge_runtime.errors import ConfigError, ExportError, FormatError, LpcError
from exporters.checkpoints.tokenizer_files import TokenizerFiles, read_tokenizer
from exporters.export import export

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 63}1\nsize 2082456\n"
ROWS = 1030
START, END = "<|im_start|>", "<|im_end|>"


def added(content: str, **flags: bool) -> dict[str, Any]:
    return {"content": content, "special": True, "normalized": False, "lstrip": False, "rstrip": False,
            "single_word": False} | flags  # fmt: skip


def demo(folder: Path, tokenizer: dict[str, Any] | None = None, **files: dict[str, Any]) -> Path:
    """Copy the demo model's tokenizer, 1024 tokens, with these changes and further files."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        changes = (tokenizer or {}) if name == "tokenizer.json" else files.pop("tokenizer_config", {})
        values = json.loads((checkpoint_folder("demo_model") / name).read_text(encoding="utf-8")) | changes
        (folder / name).write_text(json.dumps({key: value for key, value in values.items() if value != "absent"}))
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


def ids(found: TokenizerFiles, text: str) -> list[int]:
    encoded: list[int] = Tokenizer.from_str(found.files["tokenizer.json"].decode()).encode(text).ids
    return encoded


# What transformers 5.24 gives for the same files: AutoTokenizer.from_pretrained(folder)(text).input_ids
RECORDED: dict[str, tuple[dict[str, Any], str, list[int]]] = {
    "added_tokens_decoder": (
        {"tokenizer_config": {"added_tokens_decoder": {"1025": added(END), "1024": added(START)}}},
        f"x{END}y",
        [1, 90, 1025, 91],
    ),
    "added_tokens.json": ({"added_tokens": {END: 1024, "[X]": 1025}}, f"x{END}y[X]", [1, 90, 1024, 91, 1025]),
    "special_tokens_map.json": (
        {"special_tokens_map": {"pad_token": "[X]", "additional_special_tokens": [END]}},
        f"x{END}y[X]",
        [1, 90, 1025, 91, 1024],
    ),
    "a map beside added_tokens_decoder is not read": (
        {"tokenizer_config": {"added_tokens_decoder": {}}, "special_tokens_map": {"pad_token": "[X]"}},
        "y[X]",
        [1, 91, 61, 58, 63],
    ),
    "tokens that the configuration names": (
        {"tokenizer_config": {"pad_token": "[X]", "additional_special_tokens": [END], "image_token": "[I]"}},
        f"x{END}y[X][I]",
        [1, 90, 1026, 91, 1024, 1025],
    ),
    "a text of the vocabulary that is no token of it": (
        {"tokenizer_config": {"added_tokens_decoder": {"1024": added(" the")}}},
        "x the y",
        [1, 90, 1024, 327],
    ),
}


@pytest.mark.parametrize("case", RECORDED)
def test_tokens_that_other_files_name_are_one_token_each_as_in_transformers(tmp_path: Path, case: str) -> None:
    files, text, expected = RECORDED[case]
    found = read_tokenizer(demo(tmp_path / "tokenizer", **files), ROWS)
    assert ids(found, text) == expected
    assert found.warnings == []


def test_token_that_gets_another_number_than_stated_is_told(tmp_path: Path) -> None:
    files = {"tokenizer_config": {"added_tokens_decoder": {"1020": added(START), "1021": added(END)}}}
    found = read_tokenizer(demo(tmp_path / "tokenizer", **files), ROWS)
    assert ids(found, f"x{END}y") == [1, 90, 1025, 91]
    assert f"{END} is token 1025, as in transformers, not 1021" in found.warnings[1]


def test_tokens_that_the_model_has_no_row_for_are_left_out_with_a_warning(tmp_path: Path) -> None:
    files = {"tokenizer_config": {"added_tokens_decoder": {"1024": added(START), "1025": added(END)}}}
    found = read_tokenizer(demo(tmp_path / "tokenizer", **files), 1025)
    assert ids(found, START) == [1, 1024]
    assert 1025 not in ids(found, END)
    (warning,) = found.warnings
    assert f"does not have {END}" in warning
    assert "ends with token 1024: left out" in warning


def test_tokenizer_that_needs_nothing_stays_byte_for_byte(tmp_path: Path) -> None:
    folder = demo(tmp_path / "tokenizer")
    found = read_tokenizer(folder, 1024)
    assert found.files["tokenizer.json"] == (folder / "tokenizer.json").read_bytes()
    assert found.warnings == []


def test_tokenizer_of_a_larger_model_is_told(tmp_path: Path) -> None:
    (warning,) = read_tokenizer(demo(tmp_path / "tokenizer"), 1000).warnings
    assert "beyond the model's 1000 tokens" in warning


@pytest.mark.parametrize(
    ("tokenizer", "config", "expected", "told"),
    [
        ({}, {"add_bos_token": False}, [1, 531], "add_bos_token is false, but .* adds <s>"),
        ({"post_processor": None}, {"add_bos_token": True}, [531], "add_bos_token is true, but .* does not add <s>"),
        ({}, {"add_eos_token": True}, [1, 531], "add_eos_token is true, but .* does not add </s>"),
        ({"post_processor": None}, {"add_bos_token": "absent"}, [531], ""),
        ({}, {"bos_token": added("<s>")}, [1, 531], ""),
    ],
)
def test_what_surrounds_a_text_is_said_by_tokenizer_json_as_in_transformers(
    tmp_path: Path, tokenizer: dict[str, Any], config: dict[str, Any], expected: list[int], told: str
) -> None:
    found = read_tokenizer(demo(tmp_path / "tokenizer", tokenizer, tokenizer_config=config), ROWS)
    assert ids(found, "Once") == expected
    assert len(found.warnings) == bool(told)
    assert re.search(told, " ".join(found.warnings))


FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
         "chat_template.jinja")  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, "config.json", "generation_config.json", "model.safetensors"])
@pytest.mark.parametrize("defect", ["pointer", "pipe", "folder", "hole", "link to nothing"])
def test_file_that_is_none_is_named_at_once_and_nothing_is_exported(tmp_path: Path, name: str, defect: str) -> None:
    model = write_llama(tmp_path / "model")
    spoil(model / name, defect)
    with pytest.raises(LpcError, match=name.replace(".", r"\.")) as caught:
        export(model, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert ("Git LFS" in str(caught.value)) == (defect == "pointer")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def spoil(path: Path, defect: str) -> None:
    """Put something that is no file of its kind into the place of `path`."""
    path.unlink(missing_ok=True)
    if defect == "pipe":
        os.mkfifo(path)
    elif defect == "folder":
        path.mkdir()
    elif defect == "link to nothing":
        path.symlink_to("nothing")
    else:
        path.write_text(POINTER if defect == "pointer" else "")
    if defect == "hole":
        os.truncate(path, 20 << 30)


MALFORMED: dict[str, tuple[str, bytes, type[LpcError], str]] = {
    "cut": (
        "tokenizer.json",
        b'{"version": "1.0", "model": {"type": "WordLevel", "voc',
        FormatError,
        "not a tokenizer",
    ),
    "empty": ("tokenizer.json", b"", FormatError, "not a tokenizer"),
    "not utf-8": ("tokenizer.json", b"\xff\xfe{}", FormatError, "not a tokenizer"),
    "deep": ("tokenizer.json", b"[" * 200_000, FormatError, "not a tokenizer"),
    "another file": ("tokenizer.json", b'{"model_type": "llama"}', FormatError, "not a tokenizer"),
    "configuration is cut": ("tokenizer_config.json", b'{"bos_token": ', ConfigError, "is not JSON"),
    "configuration is deep": ("tokenizer_config.json", b"[" * 200_000, ConfigError, "nested too deeply"),
    "configuration is a list": ("tokenizer_config.json", b"[]", ConfigError, "is a JSON list"),
    "list of added tokens": (
        "tokenizer_config.json",
        b'{"added_tokens_decoder": []}',
        ConfigError,
        "no object of tokens",
    ),
    "number is none": ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": "a"}}', ConfigError, "no object of"),
    "token is none": ("tokenizer_config.json", b'{"added_tokens_decoder": {"7": 5}}', ConfigError, "5 is no token"),
    "special token is none": ("special_tokens_map.json", b'{"bos_token": 7}', ConfigError, "7 is no token"),
    "added number is none": ("added_tokens.json", b'{"a": "b"}', ConfigError, "no object of numbers"),
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_malformed_tokenizer_is_refused_at_export(tmp_path: Path, defect: str) -> None:
    name, content, kind, expected = MALFORMED[defect]
    model = write_llama(tmp_path / "model")
    (model / name).write_bytes(content)
    with pytest.raises(kind, match=rf"{name}: .*{expected}") as caught:
        export(model, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_two_tokens_with_one_number_are_refused(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    values = json.loads((model / "tokenizer.json").read_text())
    values["model"]["vocab"]["w59"] = values["model"]["vocab"]["w58"]
    (model / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(
        FormatError, match=r"tokenizer\.json: 'w58' and 'w59' have the same number, \d+; fetch it again"
    ):
        export(model, tmp_path / "out")


def test_shard_that_is_a_pointer_is_named(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model", shards=3)
    (model / "model-00002-of-00003.safetensors").write_text(POINTER)
    with pytest.raises(ExportError, match=r"model-00002-of-00003\.safetensors: is the pointer that Git LFS"):
        export(model, tmp_path / "out")


def test_export_takes_the_completed_tokenizer(tmp_path: Path) -> None:
    model = Path(shutil.copytree(write_llama(tmp_path / "model"), tmp_path / "copy"))
    (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    assert not export(model, tmp_path / "out").warnings
    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert [token.content for token in tokenizer.get_added_tokens_decoder().values()] == ["<s>"]
