"""Networks by name: torchvision's, timm's, your own, and two that are small enough for a CPU."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from fdsl._checks import require
from fdsl._scripts import import_script

#: Every network takes images of this side or more; some take smaller ones, too.
COMMON_SIZE = 224


def build_model(
    name: str,
    num_classes: int,
    *,
    seed: int | None = None,
    input_size: int | tuple[int, int] = 224,
    drop_path: float = 0.0,
) -> nn.Module:
    """Builds a classifier with random weights.

    >>> sum(parameter.numel() for parameter in build_model("resnet10s", 10).parameters())
    692482

    Args:
        name: ``resnet10s`` or ``vit6s``, which are small enough for a CPU; a classifier of
            ``torchvision.models`` such as ``resnet50``; one of timm, such as
            ``timm:vit_tiny_patch16_224``; or your own, as ``networks.py:mine``: a script and a
            function or class in it, which is called with ``num_classes``.
        num_classes: outputs of the last layer.
        seed: given to ``torch.manual_seed`` first, if given.
        input_size: side, or height and width, of the images, for networks that are built for one
            size, as vision transformers are.
        drop_path: the rate of stochastic depth (Huang et al., 2016), for networks of timm.

    Raises:
        ValueError: there is no such network, it cannot be built for images of this size, has no
            stochastic depth, or has no linear layer that classifies, which fine-tuning replaces.
        FileNotFoundError: there is no such script.
        TypeError: the function of the script does not return a network.
        ModuleNotFoundError: torchvision or timm is not installed.
    """
    if seed is not None:
        torch.manual_seed(seed)
    size = sides(input_size)
    if name.startswith("timm:"):
        model = _of_timm(name.removeprefix("timm:"), num_classes, input_size, drop_path)
    elif drop_path:
        raise ValueError(f"drop_path is for networks of timm, got {drop_path} for {name}")
    elif own := own_network(name):
        model = _of_script(*own, num_classes)
    elif name == "resnet10s":
        model = resnet10s(num_classes)
    elif name == "vit6s":
        model = vit6s(num_classes, input_size)
    else:
        model = _of_torchvision(name, num_classes, *size)
    if min(size) < COMMON_SIZE or own_network(name):
        _check_takes(model, name, *size, num_classes)
    last_layer(model)
    return model


def last_layer(model: nn.Module) -> str:
    """Returns the name of the last linear layer, which classifies: "fc" in a ResNet.

    >>> last_layer(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    '3'

    Raises:
        ValueError: there is no such layer.
    """
    known: Any = getattr(model, "pretrained_cfg", {}).get("classifier")  # set by timm
    if isinstance(known, str):
        return known
    names = [str(name) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not names:
        raise ValueError(f"{type(model).__name__} has no linear layer that classifies")
    return names[-1]


def own_network(name: str) -> tuple[str, str] | None:
    """Returns the script and the function of a name such as ``networks.py:mine``."""
    parts = re.fullmatch(r"(.+\.py):(\w+)", name)
    return None if parts is None else (parts[1], parts[2])


def _of_script(script: str, function: str, num_classes: int) -> nn.Module:
    make = getattr(import_script(script), function, None)
    if not callable(make):
        raise ValueError(f"{script} has no function or class {function!r}")
    model = make(num_classes)
    if not isinstance(model, nn.Module):
        raise TypeError(f"{function} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def _of_torchvision(name: str, num_classes: int, height: int, width: int) -> nn.Module:
    require(f"the model {name}", "torchvision")
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        known = "torchvision.models.list_models(module=torchvision.models) lists them"
        others = "other networks are timm:NAME and SCRIPT.py:FUNCTION"
        raise ValueError(f"torchvision has no classifier {name!r}; {known}; {others}")
    # These two have a second head, for training, which pre-training on formulas has no use for.
    extra = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    sized = _sized(name, height, width)
    try:
        model: nn.Module = torchvision.models.get_model(
            name, weights=None, num_classes=num_classes, **extra, **sized
        )
    except (AssertionError, ValueError) as error:
        if not sized:
            raise
        raise _does_not_take(name, height, width, error) from error
    return model


def _check_takes(model: nn.Module, name: str, height: int, width: int, num_classes: int) -> None:
    """Passes one image through a network, whose layers may shrink small images to nothing."""
    try:
        with torch.no_grad():
            logits = model.eval()(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _does_not_take(name, height, width, error) from error
    shape = getattr(logits, "shape", None)
    if shape != (1, num_classes):
        got = f"a {type(logits).__name__}" if shape is None else tuple(shape)
        raise ValueError(f"{name} must return logits (B, {num_classes}), got {got}")
    model.train()


def _does_not_take(name: str, height: int, width: int, error: Exception) -> ValueError:
    why = str(error).partition("\n")[0]
    return ValueError(f"{name} does not take images of {height}×{width}: {why}")


def _sized(name: str, height: int, width: int) -> dict[str, Any]:
    """The argument of a network of torchvision that is built for one size."""
    if name.startswith("vit_"):
        if height != width or height < 1:
            raise ValueError(f"{name} takes square images, got {height}×{width}")
        return {"image_size": height}
    return {"input_size": (height, width)} if name == "maxvit_t" else {}


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of images, where one number means square ones."""
    return (size[0], size[1]) if isinstance(size, Sequence) else (size, size)


def resnet10s(num_classes: int) -> nn.Module:
    """Builds a ResNet-10 for 32×32 images: 24 to 192 channels, a 3×3 stem without pooling.

    It has 0.7 million parameters, and trains on 1,000 images/s on one core.
    """
    require("the model resnet10s", "torchvision")
    from torchvision.models.resnet import BasicBlock, ResNet

    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)
    model.inplanes, model.maxpool = 24, nn.Identity()
    model.conv1 = nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False)
    model.bn1 = nn.BatchNorm2d(24)
    for i, width in enumerate((24, 48, 96, 192)):
        layer = model._make_layer(BasicBlock, width, 1, stride=2 if i else 1)
        setattr(model, f"layer{i + 1}", layer)
    model.fc = nn.Linear(192, num_classes)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):  # as in ResNet, whose layers these replace
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    small: nn.Module = model
    return small


def vit6s(num_classes: int, input_size: int | tuple[int, int] = 32) -> nn.Module:
    """Builds a small vision transformer: patches of 4×4, 6 layers, 64 channels, 2 heads.

    It has 0.3 million parameters, and trains on 450 images/s of 32×32 on one core.

    Raises:
        ValueError: ``input_size`` is not the side of a square image, or not a multiple of 4.
    """
    require("the model vit6s", "torchvision")
    from torchvision.models import VisionTransformer

    height, width = sides(input_size)
    if height != width or height % 4:
        raise ValueError(f"vit6s takes square images with a side of 4, 8, 12, …, got {input_size}")
    small: nn.Module = VisionTransformer(
        image_size=height,
        patch_size=4,
        num_layers=6,
        num_heads=2,
        hidden_dim=64,
        mlp_dim=256,
        num_classes=num_classes,
    )
    return small


def _of_timm(name: str, num_classes: int, input_size: Any, drop_path: float) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        why = f"the model timm:{name} needs {error.name}: pip install timm"
        raise ModuleNotFoundError(why) from error
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}; timm.list_models() lists those it has")
    config: Any = timm.get_pretrained_cfg(name)
    if config is not None and isinstance(config.classifier, tuple | list):
        raise ValueError(f"timm:{name} has several heads, for distillation: choose another network")
    fixed = config is not None and config.fixed_input_size  # most transformers
    options = {"img_size": input_size} if fixed else {}
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        model: nn.Module = timm.create_model(name, num_classes=num_classes, **options)
    except TypeError as error:
        if not drop_path:
            raise
        why = f"timm:{name} has no stochastic depth, got drop_path={drop_path}"
        raise ValueError(why) from error
    return model


def decay_groups(
    groups: Iterable[Mapping[str, Any]], weight_decay: float, *, model: nn.Module | None = None
) -> list[dict[str, Any]]:
    """Splits the parameter groups of an optimizer into parameters that decay and those that do not.

    As in DeiT's code, biases and the scales of norms do not decay, nor do the embeddings and
    tokens that a network of timm names in ``no_weight_decay()``.

    >>> layer = nn.Linear(2, 3)
    >>> [group["weight_decay"] for group in decay_groups([{"params": layer.parameters()}], 0.05)]
    [0.05, 0.0]

    Args:
        groups: parameter groups, as an optimizer takes them.
        weight_decay: of the parameters that decay.
        model: the network, if it may name parameters that do not decay; it may be compiled or
            wrapped for several ranks.
    """
    kept = set()
    if model is not None:
        model = _unwrapped(model)
        named: Any = getattr(model, "no_weight_decay", set)()
        kept = {id(one) for name, one in model.named_parameters() if name in named}
    split = []
    for group in groups:
        params = [given] if isinstance(given := group["params"], torch.Tensor) else list(given)
        others = [one for one in params if one.ndim <= 1 or id(one) in kept]
        apart = {id(one) for one in others}
        decayed = [one for one in params if id(one) not in apart]
        for own, decay in ((decayed, weight_decay), (others, 0.0)):
            if own:
                split.append({**group, "params": own, "weight_decay": decay})
    return split


def _unwrapped(model: nn.Module) -> nn.Module:
    """Returns the network without the wrappers of ``torch.compile`` and data parallelism."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model.get_submodule("_orig_mod")
        else:
            return model
