"""The networks: torchvision's classifiers, and one that is small enough for a processor."""

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def build_model(name: str, *, classes: int, seed: int) -> nn.Module:
    """A model with random weights: `resnet10s`, or any classifier of torchvision.models.

    Raises ValueError for a name that neither knows.
    """
    torch.manual_seed(seed)
    if name == "resnet10s":
        return ResNet10S(classes)
    # These two come with a second head, for training, that the paper's protocol has no use for.
    extra = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **extra
    )
    return model


class ResNet10S(ResNet):  # type: ignore[misc]  # torchvision has no types
    """A ResNet-10 for pictures of 32 x 32: 24 to 192 channels, a stem of 3 x 3 without pooling.

    0.7 million parameters without its head, 1,000 pictures a second learnt on one core. Its parts
    have torchvision's names, so that freezing and loading do as with a ResNet-50.
    """

    WIDTH = 24

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)
        self.inplanes = self.WIDTH
        self.conv1 = nn.Conv2d(3, self.WIDTH, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.WIDTH)
        self.maxpool = nn.Identity()
        self.layer1 = self._make_layer(BasicBlock, self.WIDTH, 1)
        self.layer2 = self._make_layer(BasicBlock, self.WIDTH * 2, 1, stride=2)
        self.layer3 = self._make_layer(BasicBlock, self.WIDTH * 4, 1, stride=2)
        self.layer4 = self._make_layer(BasicBlock, self.WIDTH * 8, 1, stride=2)
        self.fc = nn.Linear(self.WIDTH * 8, num_classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):  # as in ResNet, whose layers these replace
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
