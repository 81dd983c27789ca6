"""Weights on disk: safetensors with their provenance, for torchvision and timm."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import fdsl
from fdsl._checks import require, shown
from fdsl._files import PathLike, write_whole
from fdsl.torch.training.checkpoints import check_weights, read_checkpoint
from fdsl.torch.training.files import reading_file
from fdsl.torch.training.models import build_model, last_layer, own_network, sides


def save_weights(
    folder: PathLike,
    model: nn.Module,
    *,
    name: str,
    family: fdsl.Family,
    rendering: fdsl.Frame,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    input_size: int | tuple[int, int] | None = None,
    **more: Any,
) -> None:
    """Writes a pre-trained network's weights, and what is needed to reproduce and load them.

    Writes up to three files, each whole or not at all. ``weights.safetensors`` holds the weights.
    ``weights.json`` holds the digest of the categories, the rendering, the normalization, the
    versions and ``more``; the header of ``weights.safetensors`` repeats it. ``config.json`` is
    written for models of timm and for torchvision's ResNets, whose parameters have the same names.
    With it, ``timm.create_model("local-dir:FOLDER", pretrained=True)`` loads the weights, with timm
    1.0.26 or later. Needs safetensors.

    Args:
        folder: folder to write to.
        model: the network; its parameters keep their names.
        name: name of the architecture.
        family: the categories that it was trained on. Its last layer has one output per category,
            or ``more["num_classes"]`` outputs.
        rendering: how the images were rendered.
        mean: mean that the pixels were normalized with, 0…1; one number or three.
        std: standard deviation that the pixels were normalized with, 0…1; one number or three.
        input_size: side, or height and width, of the network's input; by default that of the
            images.
        **more: further entries of the JSON, such as the settings of the run.
    """
    require("save_weights", "safetensors")
    from safetensors.torch import save

    folder = Path(folder)
    about = {
        "model": name,
        "num_classes": len(family),
        "categories": family.digest(),
        "rendering": rendering.to_dict(),
        "normalize": {"mean": mean, "std": std},
        "fdsl": fdsl.__version__,
        "torch": torch.__version__,
        **more,
    }
    words = json.dumps(about, indent=2, default=str)
    content = save(
        _separate(model.state_dict()), metadata={"format": "pt", "model": name, "about": words}
    )
    write_whole(folder / "weights.safetensors", content)
    if (architecture := _timm_architecture(model, name)) is not None:
        size = rendering.output_size if input_size is None else input_size
        config = _timm_config(model, architecture, about["num_classes"], size, mean, std)
        write_whole(folder / "config.json", json.dumps(config, indent=2).encode() + b"\n")
    write_whole(folder / "weights.json", words.encode() + b"\n")


def _separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors on the CPU. Each that shares memory with an earlier one, as tied weights
    do, is a copy: safetensors refuses them otherwise."""
    tensors: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in state.items():
        own = tensor.cpu().contiguous()
        memory = own.untyped_storage().data_ptr()
        tensors[name] = own.clone() if memory in seen else own
        seen.add(memory)
    return tensors


def load_weights(path: PathLike) -> tuple[dict[str, Tensor], str | None]:
    """Reads the weights of a network: a .safetensors file, a checkpoint, or a file that
    ``torch.save`` wrote, such as those of torchvision, timm and DeiT: a ``state_dict``, or one in
    the entry ``"state_dict"`` or ``"model"``. The prefix ``module.``, which networks have while
    they train on several GPUs, is removed.

    Returns:
        The tensors by name, and the name of the architecture if the file has it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, has another format, or holds something other than dense
            tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        checkpoints = [folder / "last.pt" for folder in (path, path.parent)]
        others = "".join(f"; there is {one}" for one in checkpoints if one.is_file())
        raise FileNotFoundError(f"no weights at {path}{others}")
    if path.suffix != ".safetensors":
        state = read_checkpoint(path)
        if "weights" in state and "made" in state:  # as Checkpoints writes them
            made = state["made"]
            if not isinstance(made, Mapping) or not isinstance(made.get("model"), str | None):
                raise ValueError(f"{path} must name its network in 'made', got {shown(made)}")
            return _dense_tensors(state["weights"], path), made.get("model")
        return _state_dict(state, path), None
    require(path.name, "safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # the file itself cannot be iterated
            tensors = {name: file.get_tensor(name) for name in names}
            return tensors, (file.metadata() or {}).get("model")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def _state_dict(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Finds the ``state_dict`` in what other programs save."""
    for entry in ("state_dict", "model"):
        if isinstance(content.get(entry), Mapping):
            content = content[entry]
            break
    tensors = _dense_tensors(content, path)
    if tensors and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _dense_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Checks that a file holds what a network's ``state_dict`` does."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold a dict of tensors, got {shown(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{path} must hold only named tensors, but holds {shown(name)}: save the network's "
                "state_dict()"
            )
        if value.layout != torch.strided or value.is_meta:
            raise ValueError(
                f"{path} must hold dense tensors with data, but {name} is {value.layout} "
                f"on {value.device}"
            )
    return dict(content)


def load_pretrained(
    path: PathLike | None,
    num_classes: int,
    *,
    name: str | None = None,
    seed: int | None = None,
    input_size: int | tuple[int, int] = 224,
) -> tuple[nn.Module, str]:
    """Builds a network to fine-tune: the last layer is new, all others have pre-trained weights.

    Args:
        path: a file that ``load_weights`` reads; ``None`` leaves all weights random.
        num_classes: outputs of the new last layer.
        name: name of the architecture, as for ``build_model``; by default the one that the file
            names, or ``resnet50``. A network of your own must be named.
        seed: seed of the new weights.
        input_size: as for ``build_model``. Position embeddings of networks of timm are resampled
            to it, where timm can.

    Returns:
        The network, and the name of its architecture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds another architecture or one for another size, or its
            weights are not finite floating-point numbers.
    """
    weights, theirs = ({}, None) if path is None else load_weights(path)
    if name is None and theirs is not None and own_network(theirs):
        raise ValueError(
            f"{path} holds the network {theirs}: name it yourself (--model), since no file of "
            "weights may choose the script that runs"
        )
    name = name or theirs or "resnet50"
    moved = own_network(name) and own_network(theirs or "")  # then the shapes decide
    if theirs not in (None, name) and not moved:
        raise ValueError(f"{path} holds a {theirs}, not a {name}")
    model = build_model(name, num_classes, seed=seed, input_size=input_size)
    if path is None:
        return model, name
    what = f"{name} for images of {input_size}"
    load_body(model, weights, f"{last_layer(model)}.", path=path, what=what)
    return model, name


def load_body(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    heads: str | tuple[str, ...],
    *,
    path: PathLike,
    what: str,
) -> None:
    """Loads the weights of all layers but the last ones into a network.

    Position embeddings of timm's networks are resampled to the network's input size, if timm can.

    Args:
        model: the network.
        weights: tensors by name, as ``load_weights`` returns them.
        heads: the prefix, or prefixes, of the parameter names of the last layers, whose weights
            are left as they are.
        path: the file of the weights, for errors.
        what: the network, for errors.

    Raises:
        ValueError: the weights are of another network, or not finite floating-point numbers.
    """
    body = {key: value for key, value in weights.items() if not key.startswith(heads)}
    body, own = _resampled(body, model), model.state_dict()
    for key in body:
        if key in own and own[key].shape != body[key].shape:
            raise ValueError(
                f"{path} does not hold a {what}: {key} has the shape {tuple(body[key].shape)}, "
                f"not {tuple(own[key].shape)}"
            )
    with reading_file(path):
        check_weights(body, own)
    missing, extra = model.load_state_dict(body, strict=False)
    # Older files of torchvision lack the batch counts of batch-norm layers, used only in training.
    missing = [key for key in missing if not key.startswith(heads) and "num_batches" not in key]
    if missing or extra:
        found = f"it lacks {missing[0]}" if missing else f"it also holds {extra[0]}"
        raise ValueError(f"{path} does not hold a {what}: {found}")


def _resampled(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Fits position embeddings to the input size of a network of timm, if timm can."""
    own = model.state_dict()
    odd = [key for key in weights if key in own and own[key].shape != weights[key].shape]
    module = type(model).__module__
    theirs = sys.modules[module] if module.startswith("timm.") else None
    convert = getattr(theirs, "checkpoint_filter_fn", None)
    if not odd or convert is None or not all(re.search(POSITIONS, key) for key in odd):
        return weights
    if any(_is_expanded(weights[key]) for key in odd):  # converting it could take any memory
        return weights
    try:
        converted = convert(dict(weights), model)
    except Exception:  # the weights are of another network; then their shapes are refused
        return weights
    return {**weights, **{key: converted[key] for key in odd if key in converted}}


def _is_expanded(tensor: Tensor) -> bool:
    """Returns whether a tensor has more numbers than are stored, as those of ``expand``."""
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


#: Parameters of timm's networks whose shape depends on the input size.
POSITIONS = "pos_embed|relative_position|rel_pos"

#: torchvision's ResNets, which have the same parameter names in timm.
RESNETS = {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"}
RESNETS |= {"resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"}


def _timm_architecture(model: nn.Module, name: str) -> str | None:
    known: str | None = getattr(model, "pretrained_cfg", {}).get("architecture")
    return known or (name if name in RESNETS else None)


def _timm_config(
    model: nn.Module,
    architecture: str,
    num_classes: int,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> dict[str, Any]:
    """The configuration that timm reads along with the weights (timm/models/_hub.py). A model of
    timm knows more about its input than we do."""
    known = getattr(model, "pretrained_cfg", {})
    convolutions = [name for name, part in model.named_modules() if isinstance(part, nn.Conv2d)]
    height, width = sides(size)
    return {
        "architecture": architecture,
        "num_classes": num_classes,
        "pretrained_cfg": {
            "num_classes": num_classes,
            "input_size": [3, height, width],
            "fixed_input_size": bool(known.get("fixed_input_size", False)),
            "interpolation": known.get("interpolation", "bilinear"),
            "crop_pct": 1.0,
            "mean": np.broadcast_to(mean, 3).tolist(),
            "std": np.broadcast_to(std, 3).tolist(),
            "first_conv": known.get("first_conv", convolutions[0] if convolutions else None),
            "classifier": known.get("classifier") or last_layer(model),
        },
    }


def digest_of(weights: PathLike) -> str:
    """Identifies the weights that a run starts from: the first 16 digits of the file's SHA-256, or
    ``"scratch"`` for ``"scratch"``.

    Raises:
        OSError: the file cannot be read.
    """
    if weights == "scratch":
        return "scratch"
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:16]
