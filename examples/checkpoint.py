"""Checkpoints and weights on disk: each file is there whole, or the one before it is."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor


def claim_folder(out: Path, *, resume: str | None) -> None:
    """Makes the folder of a run, and fails now rather than after an epoch if it cannot be written.

    Raises OSError if it cannot, FileExistsError if it holds another run.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"cannot write to --out {out}: {error.strerror}") from error
    if resume is None and (out / "last.pt").exists():
        raise FileExistsError(
            f"{out} already holds a run: continue it with --resume auto, or name another --out"
        )


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file whole or not at all: a crash leaves the old one, never half of the new."""
    part = path.with_name(path.name + ".part")  # same folder, so that replacing is one step
    with part.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Saves a checkpoint: tensors and plain Python, so that `weights_only=True` reads it back."""
    write_whole(path, lambda file: torch.save(dict(state), file))


def load(path: Path) -> dict[str, Any]:
    """Loads a checkpoint of these examples. Raises FileNotFoundError or ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    return _ours(_read(path), path)


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a file it cannot read
        raise ValueError(f"{path} is not a checkpoint torch can read") from error


def _ours(state: Any, path: Path) -> dict[str, Any]:
    if not isinstance(state, dict) or "made" not in state:
        raise ValueError(f"{path} is not a checkpoint of these examples")
    return state


def find(resume: str | None, out: Path) -> dict[str, Any] | None:
    """The checkpoint to go on from: a path must exist, "auto" takes OUT/last.pt if it is there."""
    if resume is None or (resume == "auto" and not (out / "last.pt").exists()):
        return None
    return load(out / "last.pt" if resume == "auto" else Path(resume))


def refuse_another(state: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Raises ValueError unless the checkpoint was made as this run would be: the same model, data
    and order of samples. Length and learning rate may change."""
    for key in sorted({*state["made"], *made}):
        theirs, ours = state["made"].get(key), made.get(key)
        if theirs != ours:
            name = key.replace("_", " ")
            raise ValueError(f"cannot resume: the checkpoint's {name} is {theirs}, yours {ours}")


def save_weights(folder: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes weights.safetensors, under the names torchvision and timm use, and weights.json, which
    says how they were made; the same words stand in the safetensors header."""
    words = json.dumps(about, indent=2)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    header = {"format": "pt", "model": str(about["model"]), "about": words}
    data = safetensors.torch.save(tensors, metadata=header)
    write_whole(folder / "weights.safetensors", lambda file: file.write(data))
    write_whole(folder / "weights.json", lambda file: file.write(words.encode() + b"\n"))


def load_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Reads .safetensors, a checkpoint of these examples, or weights as torchvision and timm save
    them: the weights, and the name of their model if the file says it."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix != ".safetensors":
        state = _read(path)
        if isinstance(state, dict) and state and all(isinstance(v, Tensor) for v in state.values()):
            return dict(state), None
        state = _ours(state, path)
        return state["weights"], state["made"]["model"]
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            # The file has keys() and cannot be iterated.
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, (file.metadata() or {}).get("model")
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
