"""The networks: torchvision's classifiers, and one that is small enough for a processor; and how
fine-tuning starts from one that was pre-trained."""

from pathlib import Path

import checkpoint
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

# The paper's names (Table 8) for the parts of a ResNet.
CONVS = {
    "conv1": ("conv1", "bn1"),
    "conv2": ("layer1",),
    "conv3": ("layer2",),
    "conv4": ("layer3",),
    "conv5": ("layer4",),
}


def build_model(name: str, *, classes: int, seed: int) -> nn.Module:
    """A model with random weights: `resnet10s`, or any classifier of torchvision.models.

    Raises ValueError for a name that neither knows.
    """
    torch.manual_seed(seed)
    if name == "resnet10s":
        return resnet10s(classes)
    # These two come with a second head, for training, that the paper's protocol has no use for.
    extra = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **extra
    )
    return model


def start_model(source: str, name: str | None, *, classes: int, seed: int) -> tuple[nn.Module, str]:
    """The model with a new last layer, and with all else as `source` (a file, or "scratch") was
    pre-trained; and its name.

    Raises ValueError if the weights belong to another model.
    """
    if source == "scratch":
        name = name or "resnet50"
        return build_model(name, classes=classes, seed=seed), name
    path = Path(source)
    weights, theirs = checkpoint.load_weights(path)
    name = name or theirs or "resnet50"
    if theirs not in (None, name):
        raise ValueError(f"{path} holds a {theirs}, but --model asks for a {name}")
    model = build_model(name, classes=classes, seed=seed)
    head = head_of(model) + "."
    # Of batch-norm layers torchvision's older files lack a count that only matters in training.
    wanted = {
        key: value.shape
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked") or key in weights
    }
    body = {key: value for key, value in weights.items() if not key.startswith(head)}
    for key, shape in wanted.items():
        if not key.startswith(head) and (key not in body or body[key].shape != shape):
            raise ValueError(f"{path} does not hold a {name}: {key} is missing or of another shape")
    if extra := sorted({*body} - {*wanted}):
        raise ValueError(f"{path} does not hold a {name}, which has no {extra[0]}")
    model.load_state_dict(body, strict=False)
    return model, name


def head_of(model: nn.Module) -> str:
    """The name of the last linear layer: "fc" in a ResNet."""
    linear: list[str] = [n for n, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(model).__name__} has no linear layer to replace")
    return linear[-1]


def frozen_parts(model: nn.Module, upto: str, name: str) -> list[nn.Module]:
    """The parts of a ResNet from its first layer up to `upto`."""
    if upto == "none":
        return []
    if not all(hasattr(model, part) for parts in CONVS.values() for part in parts):
        raise ValueError(f"--freeze {upto} is for ResNets, not for a {name}")
    names = list(CONVS)[: list(CONVS).index(upto) + 1]
    return [getattr(model, part) for conv in names for part in CONVS[conv]]


def resnet10s(classes: int) -> nn.Module:
    """A ResNet-10 for pictures of 32 x 32: 24 to 192 channels, a stem of 3 x 3 without pooling.

    0.7 million parameters without its head, 1,000 pictures a second learnt on one core. Its parts
    have torchvision's names, so that freezing and loading do as with a ResNet-50.
    """
    width = 24
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes)
    model.inplanes = width
    model.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    model.maxpool = nn.Identity()
    model.layer1 = model._make_layer(BasicBlock, width, 1)
    model.layer2 = model._make_layer(BasicBlock, width * 2, 1, stride=2)
    model.layer3 = model._make_layer(BasicBlock, width * 4, 1, stride=2)
    model.layer4 = model._make_layer(BasicBlock, width * 8, 1, stride=2)
    model.fc = nn.Linear(width * 8, classes)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):  # as in ResNet, whose layers these replace
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    small: nn.Module = model
    return small
