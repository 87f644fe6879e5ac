"""Install the programs that benchmarks/products.py compares with, and make their models from one checkpoint.

    python benchmarks/peers/install.py build/peers
    python benchmarks/peers/install.py build/peers --checkpoint build/tinyllama
    python benchmarks/peers/install.py build/peers --only torch --pip-option=--no-cache-dir

Makes two virtual environments in the folder: `llama` with llama-cpp-python, compiled for this machine (about ten
minutes of CPU; needs a C++ compiler), and `torch` with transformers and onnxruntime-genai, whose model builder needs
torch. The versions are those of the figures in docs/benchmarks/products.md. With --checkpoint (safetensors, llama's
family) also the models, as large as the weights and twice that: model.gguf in BF16, and genai/ in FP32. What is there
is kept. Not part of any test. Prints the arguments for benchmarks/products.py to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

ENVIRONMENTS = {
    "llama": ("llama-cpp-python==0.3.36", "gguf==0.19.0", "numpy==2.4.6"),
    "torch": (
        "torch==2.13.0", "transformers==5.24.0", "accelerate==1.15.0", "safetensors==0.8.0", "tokenizers==0.23.3",
        "onnxruntime==1.32.0", "onnxruntime-genai==0.18.0", "onnx==1.23.2", "onnx-ir==1.1.0", "numpy==2.4.6",
    ),
}  # fmt: skip
CHECKS = {"llama": "import llama_cpp", "torch": "import torch, transformers, accelerate, onnxruntime_genai"}
BUILD_FLAGS = {"CMAKE_ARGS": "-DGGML_NATIVE=ON"}  # llama.cpp's own switch for this machine's instruction set
GGUF_WRITER = Path(__file__).with_name("gguf_model.py")


def run(command: list[str | Path], **more_environment: str) -> None:
    """Run a command, its output to stderr; SystemExit with one line if it fails."""
    done = subprocess.run(command, stdout=sys.stderr, env=os.environ | more_environment, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))} ended with status {done.returncode}")


def install(folder: Path, name: str, pip_options: list[str]) -> Path:
    """The interpreter of environment `name` in `folder`, made if it is not there, with the pinned packages."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        venv.create(folder / name, with_pip=True)
    parallel = {"CMAKE_BUILD_PARALLEL_LEVEL": str(len(os.sched_getaffinity(0)))}
    run([python, "-m", "pip", "install", *pip_options, *ENVIRONMENTS[name]], **BUILD_FLAGS, **parallel)
    run([python, "-c", CHECKS[name]])
    return python


def make_gguf(folder: Path, checkpoint: Path, python: Path) -> Path:
    """The checkpoint as BF16 GGUF, which llama.cpp reads."""
    model = folder / "model.gguf"
    if not model.exists():
        partial = model.with_suffix(".partial")
        run([python, GGUF_WRITER, checkpoint, partial])
        partial.rename(model)
    return model


def make_genai(folder: Path, checkpoint: Path, python: Path) -> Path:
    """The checkpoint as onnxruntime-genai's own builder makes it, in FP32."""
    model = folder / "genai"
    if not model.exists():
        partial = model.with_suffix(".partial")
        builder = [python, "-m", "onnxruntime_genai.models.builder"]
        run([*builder, "-i", checkpoint, "-o", partial, "-p", "fp32", "-e", "cpu", "-c", folder / "cache"])
        partial.rename(model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the environments and models go")
    parser.add_argument("--only", choices=list(ENVIRONMENTS), help="one environment instead of both")
    parser.add_argument("--checkpoint", type=Path, help="make the models of this checkpoint, too")
    parser.add_argument("--pip-option", action="append", default=[], metavar="OPTION", help="for pip install")
    options = parser.parse_args()
    if options.checkpoint is not None and not (options.checkpoint / "config.json").is_file():
        parser.error(f"--checkpoint {options.checkpoint}: no config.json there; expected a folder with a checkpoint")
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    arguments: list[str | Path] = []
    for name in [options.only] if options.only else ENVIRONMENTS:
        python = install(folder, name, options.pip_option)
        checkpoint = options.checkpoint.resolve() if options.checkpoint else None
        if name == "llama":
            model = make_gguf(folder, checkpoint, python) if checkpoint else "GGUF"
            arguments += ["--llama", model, "--llama-python", python]
        else:
            model = make_genai(folder, checkpoint, python) if checkpoint else "FOLDER"
            arguments += ["--torch", checkpoint or "CHECKPOINT", "--torch-python", python]
            arguments += ["--genai", model, "--genai-python", python]
    print(" ".join(map(str, arguments)))


if __name__ == "__main__":
    main()
