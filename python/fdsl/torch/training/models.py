"""Networks by name: torchvision's, timm's, and one that is small enough for a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def build_model(
    name: str,
    num_classes: int,
    *,
    seed: int | None = None,
    input_size: int | tuple[int, int] = 224,
) -> nn.Module:
    """Builds a classifier with random weights.

    >>> sum(parameter.numel() for parameter in build_model("resnet10s", 10).parameters())
    692482

    Args:
        name: ``resnet10s``, a classifier of ``torchvision.models`` such as ``resnet50``, or one of
            timm, such as ``timm:vit_tiny_patch16_224``.
        num_classes: outputs of the last layer.
        seed: given to ``torch.manual_seed`` first, if given.
        input_size: side, or height and width, of the images, for those networks of timm that are
            built for one size.

    Raises:
        ValueError: there is no such network.
        ModuleNotFoundError: torchvision or timm is not installed.
    """
    if seed is not None:
        torch.manual_seed(seed)
    if name == "resnet10s":
        return resnet10s(num_classes)
    if name.startswith("timm:"):
        return _of_timm(name.removeprefix("timm:"), num_classes, input_size)
    import torchvision

    # These two have a second head, for training, which pre-training on formulas has no use for.
    extra = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=num_classes, **extra
    )
    return model


def resnet10s(num_classes: int) -> nn.Module:
    """Builds a ResNet-10 for 32×32 images: 24 to 192 channels, a 3×3 stem without pooling.

    It has 0.7 million parameters, and trains on 1,000 images/s on one core.
    """
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


def _of_timm(name: str, num_classes: int, input_size: Any) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        why = f"the model timm:{name} needs {error.name}: pip install timm"
        raise ModuleNotFoundError(why) from error
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}; timm.list_models() lists those it has")
    config: Any = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size  # most transformers
    sized = {"img_size": input_size} if fixed else {}
    model: nn.Module = timm.create_model(name, num_classes=num_classes, **sized)
    return model
