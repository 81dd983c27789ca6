"""Parts of a training script that stops, resumes and reports in an orderly way.

Each works by itself in any PyTorch loop, in one process or under ``torchrun``; together they are
what ``examples/pretrain.py`` is built on.

| class or function | what it does |
|---|---|
| `Ranks` | finds the rank and the device of this process, and starts ``torch.distributed`` |
| `GracefulStop` | turns Ctrl-C and SIGTERM into a stop after the same step on all ranks |
| `Checkpoints` | saves checkpoints whole or not at all, in a folder that one run at a time uses |
| `MetricsLog` | averages metrics over steps and ranks, and writes them as rows of a CSV |
| `save_weights` `load_weights` | write and read weights with all that is needed to reproduce them |
| `load_pretrained` | builds a network to fine-tune, whose last layer is new |
| `run_script` `read_presets` `read_set` `read_values` `load_set` | read options and TOML files |
| `build_model` | builds a network of torchvision or timm by its name |
| `Augmentation` `Erasing` `mixing` | augment a batch on its device, each image in its own way |
| `decay_groups` | the parameters whose weights decay, and the others |
| `LabeledImages` | images to fine-tune on, decoded once if they fit in memory |
| `Validation` | accuracy, or average precision, of all images and of each class |
| `choose_labels` | picks few labels to fine-tune with |
| `linear_probe` | fits a logistic regression to the features of a frozen network |
| `read_idx` `reading_file` | read files of others: MNIST's format, and errors that name the file |

filelock, matplotlib, safetensors, scikit-learn and tensorboard are imported where they are needed:
``pip install '.[train]'`` in a checkout.
"""

from __future__ import annotations

from fdsl._files import write_whole
from fdsl.settings import load_set, read_set, read_values
from fdsl.torch.training.augmentation import Augmentation, Erasing, mixing
from fdsl.torch.training.checkpoints import Checkpoints, read_checkpoint
from fdsl.torch.training.command_line import read_presets, run_script
from fdsl.torch.training.distributed import Ranks, make_deterministic
from fdsl.torch.training.files import read_idx, reading_file
from fdsl.torch.training.images import LabeledImages
from fdsl.torch.training.labels import choose_labels
from fdsl.torch.training.metrics import MetricsLog
from fdsl.torch.training.models import build_model, decay_groups, last_layer, resnet10s, vit6s
from fdsl.torch.training.probe import features_of, linear_probe
from fdsl.torch.training.scores import Scores, Validation
from fdsl.torch.training.stop import GracefulStop, ignore_signals
from fdsl.torch.training.weights import (
    digest_of,
    load_body,
    load_pretrained,
    load_weights,
    save_weights,
)

__all__ = [
    "Augmentation",
    "Checkpoints",
    "Erasing",
    "GracefulStop",
    "LabeledImages",
    "MetricsLog",
    "Ranks",
    "Scores",
    "Validation",
    "build_model",
    "choose_labels",
    "decay_groups",
    "digest_of",
    "features_of",
    "ignore_signals",
    "last_layer",
    "linear_probe",
    "load_body",
    "load_pretrained",
    "load_set",
    "load_weights",
    "make_deterministic",
    "mixing",
    "read_checkpoint",
    "read_idx",
    "read_presets",
    "read_set",
    "read_values",
    "reading_file",
    "resnet10s",
    "run_script",
    "save_weights",
    "vit6s",
    "write_whole",
]
