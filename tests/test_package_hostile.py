"""Anything in the place of a file or a field of an exported folder: one clear line, at once, in little memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from checkpoints import unseal, write_llama
from real_models import LPC_RUN, RunPython

from edge_runtime.errors import ConfigError, FormatError, LpcError
from edge_runtime.package import Package
from edge_runtime.plan.model import ModelShape
from edge_runtime.session import load
from edge_runtime.tokens import Tokenizer
from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice
from exporters.package.inspect import summary
from exporters.package.verify import verify

FILES = ("lpc.json", "genai_config.json", "tokenizer.json", "model.onnx", "model.lpc")
SPARSE_BYTES = 20 << 30
MOST_SECONDS = 2.0
MOST_NEW_BYTES = 200 << 20
FOLDER = "FOLDER"
LPC_EXPORT = "from exporters.cli import main; main()"
COMMANDS = {
    "run": (LPC_RUN, FOLDER, "-p", "w5"),
    "plan": (LPC_RUN, FOLDER, "--plan"),
    "board": ("from edge_runtime.cli.board import main; main()", "plan", FOLDER),
    "bench": ("from edge_runtime.cli.bench import main; main()", "run", FOLDER),
    "inspect": (LPC_EXPORT, "inspect", FOLDER),
    "verify": (LPC_EXPORT, "verify", FOLDER),
    "reseal": (LPC_EXPORT, "--reseal", FOLDER),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    export(write_llama(root / "model"), root / "out", ExportOptions(codec=CodecChoice("lz4")))
    return root / "out"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy without hashes: what nobody has vouched for."""
    return unseal(Path(shutil.copytree(exported, tmp_path / "out")))


def use(folder: Path) -> None:
    """Everything that this process reads of a folder before it computes."""
    package = Package.open(folder)
    Tokenizer(package)
    ModelShape.of(package)
    load(folder)


def refused(action: Callable[[], object], kind: type[Exception] = LpcError) -> str:
    """The one line that an action ends with, soon and without taking much memory."""
    start, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(kind) as caught:
        action()
    assert time.monotonic() - start < MOST_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 < MOST_NEW_BYTES
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    assert message.isprintable()
    return message


def change(folder: Path, name: str, edit: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / name).read_text(encoding="utf-8"))
    edit(values)
    (folder / name).write_text(json.dumps(values), encoding="utf-8")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(SPARSE_BYTES)


REPLACEMENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is a named pipe"),
    "folder": (Path.mkdir, "is a folder"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "sparse": (sparse, "has 21474836480 bytes"),
    "nothing": (lambda path: path.symlink_to("nowhere"), "missing"),
    "circle": (lambda path: path.symlink_to(path.name), ""),
    "outside": (lambda path: path.symlink_to("/etc/passwd"), "is a link out of the model's folder"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", REPLACEMENTS)
def test_file_replaced_by_something_else_is_one_line(folder: Path, name: str, what: str) -> None:
    make, expected = REPLACEMENTS[what]
    (folder / name).unlink()
    make(folder / name)
    if (what, name) == ("nothing", "lpc.json"):
        expected = "has no lpc.json"
    message = refused(lambda: use(folder))
    assert name in message
    assert expected in message


@pytest.mark.parametrize("name", ["lpc.json", "genai_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"null", b"{" * 200_000, b'{"a":' * 200_000, b"1" * 100_000, b'{"format": NaN}'],
    ids=["empty", "no utf-8", "null", "braces", "deep", "digits", "nan"],
)
def test_json_that_is_none_is_one_line(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert name in refused(lambda: use(folder), FormatError)


def test_json_key_that_is_there_twice_is_one_line(folder: Path) -> None:
    text = (folder / "lpc.json").read_text().replace("{", '{"format_version": 1, ', 1)
    (folder / "lpc.json").write_text(text)
    assert "the key 'format_version' is there twice" in refused(lambda: Package.open(folder), FormatError)


HUGE = 1 << 62
Edit = Callable[[dict[str, Any]], object]
MANIFEST_LIES: dict[str, tuple[Edit, str]] = {
    "context": (lambda m: m.update(context_length=HUGE), "context_length is 46116860184"),
    "context_digits": (lambda m: m.update(context_length=10**4000), "context_length is an integer of 13288 bits"),
    "context_float": (lambda m: m.update(context_length=1e300), "context_length is 1e+300"),
    "no_tensors": (lambda m: m.pop("tensors"), "tensors is nothing; expected a list"),
    "no_constants": (lambda m: m.pop("constants"), "constants is nothing; expected a list"),
    "loss_number": (lambda m: m.update(lossy={"passes": [], "loss": 7}), "lossy.loss is 7; expected an object"),
    "passes_object": (lambda m: m.update(lossy={"passes": {}}), "lossy.passes is {}; expected a list"),
    "pass_text": (lambda m: m.update(lossy={"passes": ["prune"]}), "lossy.passes is ['prune']; expected a list of obj"),
    "pass_without_figures": (
        lambda m: m.update(lossy={"passes": [{"pass": "scale"}]}),
        "lossy.passes[0].rescaled is nothing; expected an integer",
    ),
    "pass_digits": (
        lambda m: m.update(lossy={"passes": [{"pass": "prune", "weights": 10**4000}]}),
        "lossy.passes[0].weights is an integer of 13288 bits",
    ),
    "data_bytes": (lambda m: m["data"].update(bytes=HUGE), "data.bytes is"),
    "data_bytes_negative": (lambda m: m["data"].update(bytes=-1), "data.bytes is -1"),
    "layer_index": (lambda m: m["layers"][1].update(index=7), "layers[1].index is 7; expected 1"),
    "layer_decoded": (lambda m: m["layers"][1].update(decoded_bytes=HUGE), "layers[1].decoded_bytes is"),
    "layer_name": (lambda m: m["layers"][1].update(name=["x"]), "layers[1].name is ['x']"),
    "tensor_offset": (lambda m: m["tensors"][2].update(offset=HUGE), "tensors[2].offset is"),
    "tensor_outside": (lambda m: m["tensors"][2].update(offset=1 << 40), "ends at byte"),
    "tensor_overlap": (lambda m: m["tensors"][2].update(offset=m["tensors"][1]["offset"]), "expected at least"),
    "tensor_layer": (lambda m: m["tensors"][2].update(layer=99), "tensors[2].layer is 99"),
    "tensor_name_twice": (lambda m: m["tensors"][2].update(name=m["tensors"][1]["name"]), "a name that no other has"),
    "tensor_shape": (lambda m: m["tensors"][2].update(shape=[-1, 4]), "tensors[2].shape is [-1, 4]"),
    "tensor_shape_deep": (lambda m: m["tensors"][2].update(shape=[[[4]]]), "tensors[2].shape is [[[4]]]"),
    "tensor_control": (lambda m: m["tensors"][2].update(name="\x1b[2J", offset=1 << 40), "\\x1b[2J ends at byte"),
    "tensors_text": (lambda m: m.update(tensors="all of them"), "tensors is 'all of them'"),
    "constants": (lambda m: m.update(constants=[{"name": "c"}]), "constants[0]."),
    "files_list": (lambda m: m.update(files=[1]), "files is [1]"),
    "data_half_a_character": (lambda m: m["data"].update(file="\ud800"), "data.file is '\\ud800'; expected the name"),
    "data_long": (lambda m: m["data"].update(file="x" * 300), "expected the name of a file in the same folder"),
    "files_half_a_character": (lambda m: m.update(files={"\udfff": {}}), "expected names of files in the same folder"),
    "files_outside": (lambda m: m.update(files={"../x": {}}), "files names '../x'"),
    "files_hash": (lambda m: m.update(files={"model.onnx": {"bytes": 1, "xxh3_128": 5}}), "xxh3_128 is 5"),
}


@pytest.mark.parametrize("lie", MANIFEST_LIES)
def test_manifest_that_lies_names_the_field(folder: Path, lie: str) -> None:
    edit, expected = MANIFEST_LIES[lie]
    change(folder, "lpc.json", edit)
    for action in (Package.open, summary, verify):
        message = refused(lambda action=action: action(folder), FormatError)  # type: ignore[misc]
        assert "lpc.json: " in message
        assert expected in message


CONFIG_LIES: dict[str, tuple[Edit, str]] = {
    "layers": (lambda d: d["decoder"].update(num_hidden_layers=1 << 31), "num_hidden_layers is 2147483648"),
    "hidden": (lambda d: d["decoder"].update(hidden_size=HUGE), "hidden_size is"),
    "heads": (lambda d: d["decoder"].update(num_attention_heads=True), "num_attention_heads is True"),
    "head_size": (lambda d: d["decoder"].update(head_size=-64), "head_size is -64"),
    "vocabulary": (lambda d: d.update(vocab_size=1 << 31), "vocab_size is 2147483648"),
    "bos": (lambda d: d.update(bos_token_id=-5), "bos_token_id is -5"),
    "eos": (lambda d: d.update(eos_token_id=[2, HUGE]), "eos_token_id is [2, 4611"),
    "eos_many": (lambda d: d.update(eos_token_id=["x"] * 100_000), "eos_token_id is ['x', 'x'"),
    "file": (lambda d: d["decoder"].update(filename="a\0b"), "decoder.filename is 'a\\x00b'"),
    "decoder": (lambda d: d.update(decoder=[[]]), "decoder is [[]]"),
}


@pytest.mark.parametrize("lie", CONFIG_LIES)
def test_configuration_that_lies_names_the_field(folder: Path, lie: str) -> None:
    edit, expected = CONFIG_LIES[lie]
    change(folder, "genai_config.json", lambda values: edit(values["model"]))
    message = refused(lambda: use(folder), FormatError)
    assert "genai_config.json: model." in message
    assert expected in message


def of_caches(axis: int, extent: int) -> Callable[[onnx.GraphProto], object]:
    def change(graph: onnx.GraphProto) -> None:
        for value in (*graph.input, *graph.output):
            if value.name.startswith(("past", "present")):
                value.type.tensor_type.shape.dim[axis].dim_value = extent

    return change


def of_head(rows: int) -> Callable[[onnx.GraphProto], object]:
    """The head's rows, as the operator says them."""

    def change(graph: onnx.GraphProto) -> None:
        logits = next(value for value in graph.output if value.name == "logits")
        logits.type.tensor_type.shape.dim[2].dim_value = rows
        head = next(node for node in reversed(graph.node) if node.op_type == "Decompress")
        next(attribute for attribute in head.attribute if attribute.name == "shape").ints[0] = rows

    return change


GRAPH_LIES: dict[str, tuple[Callable[[onnx.GraphProto], object], str]] = {
    "heads": (
        of_caches(1, 1 << 31),
        "its KV cache takes 549755813888 bytes per token, but genai_config",
    ),
    "head_size": (of_caches(3, 1 << 40), "bytes per token, but genai_config.json describes one of 512"),
    "a_little_more": (
        of_caches(3, 17),
        "its KV cache takes 544 bytes per token, but genai_config.json describes one of 512",
    ),
    "logits": (of_head(1 << 40), "its logits are of 1099511627776 tokens, expected 1 to 16777216"),
    "long_name": (lambda graph: vars_of(graph.node[3], name="n" * 100_000, op_type="Nothing"), "model.onnx: "),
    "long_operator": (lambda graph: vars_of(graph.node[3], op_type="o" * 100_000), "model.onnx: "),
    "control": (lambda graph: vars_of(graph.node[3], op_type="\x1b[2J\n\n"), "\\x1b[2J"),
}


def vars_of(message: onnx.NodeProto, **values: str) -> None:
    for name, value in values.items():
        setattr(message, name, value)


@pytest.mark.parametrize("lie", GRAPH_LIES)
def test_graph_that_lies_is_one_line_before_memory_is_taken(folder: Path, lie: str) -> None:
    change, expected = GRAPH_LIES[lie]
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    change(model.graph)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    assert expected in refused(lambda: load(folder, provider="cpu"))


@pytest.mark.parametrize("content", [b"", b"\x08", bytes(4096), b"PK\x03\x04" * 100, b"\xff" * 100_000])
def test_graph_that_is_garbage_is_one_line(folder: Path, content: bytes) -> None:
    (folder / "model.onnx").write_bytes(content)
    assert "model.onnx" in refused(lambda: load(folder))


def test_verify_blob_that_promises_too_much_is_one_line(folder: Path) -> None:
    change(folder, "lpc.json", lambda m: m["tensors"][2].update(decoded_bytes=1 << 50))
    assert "decodes to another size than the 1125899906842624 bytes" in refused(lambda: verify(folder), FormatError)


def test_snapshot_of_a_hub_cache_is_opened(exported: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--name"
    place = repository / "snapshots" / "5ca1ab1e"
    shutil.copytree(exported, repository / "blobs")
    place.mkdir(parents=True)
    for file in (repository / "blobs").iterdir():
        (place / file.name).symlink_to(f"../../blobs/{file.name}")
    assert list(load(place).generate([1, 5], greedy=True, max_new_tokens=2))
    assert verify(place) == 16
    (place / "lpc.json").unlink()
    shutil.copy(exported / "lpc.json", tmp_path / "elsewhere.json")
    (place / "lpc.json").symlink_to(tmp_path / "elsewhere.json")
    assert "lpc.json: is a link out of the model's folder" in refused(lambda: Package.open(place), FormatError)


def _pipe_manifest(folder: Path) -> None:
    (folder / "lpc.json").unlink()
    os.mkfifo(folder / "lpc.json")


def _lying_manifest(folder: Path) -> None:
    change(folder, "lpc.json", lambda m: m["tensors"][0].update(offset=1 << 60, name="\x1b]0;x\a"))


DAMAGES = (_pipe_manifest, _lying_manifest)


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_command_on_a_hostile_folder_is_one_line(folder: Path, run_python: RunPython, number: int) -> None:
    DAMAGES[number % len(DAMAGES)](folder)
    code, *arguments = list(COMMANDS.values())[number]
    done = run_python(code, *(str(folder) if argument == FOLDER else argument for argument in arguments), timeout=30)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().isprintable()
    assert "lpc.json" in done.stderr


def test_listed_file_of_many_bytes_is_not_read(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "out"))
    sparse(folder / "vocab.json")
    entry = {"bytes": SPARSE_BYTES, "xxh3_128": "0" * 32}
    change(folder, "lpc.json", lambda m: m["files"].update({"vocab.json": entry}))
    start = time.monotonic()
    assert Package.open(folder).path == folder
    assert time.monotonic() - start < MOST_SECONDS


def test_folder_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    assert "does not exist" in refused(lambda: Package.open(tmp_path / "nowhere"), ConfigError)
