"""Writes a model card beside the weights of a run: what they are, and how to load them.

    python examples/model_card.py weights

Reads weights.json, and writes README.md, which has everything needed to rebuild the weights: they
follow from formulas and seeds, not from data.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from fdsl.torch import training
from pretrain import PRESETS

CARD = """\
---
license: mit
library_name: pytorch
tags: [formula-driven-supervised-learning, synthetic-data, image-classification]
---

# {model}, pre-trained on formulas

Pre-trained with fdsl {fdsl} on {images:,} images of {source} ({classes:,} categories, {size}
pixels). No photographs or human labels were used: every image is a function of its seed, category
and index.

```python
from fdsl.torch.training import load_pretrained

model, _ = load_pretrained("{file}", num_classes=10, {name}input_size={side})
```

The last layer is new, and all else is pre-trained. Normalize the inputs as `examples/finetune.py`
does, with ImageNet's mean and standard deviation, and train all layers: what pre-training on
formulas gives is a starting point. A linear classifier on the frozen features is poor.

| | |
|---|---|
| parameters | {parameters:,} ({megabytes:.1f} MB, float32) |
| categories | {source}, digest `{digest}` |
| rendering | `{rendering}` |
| normalization in pre-training | mean {mean}, standard deviation {std} |
| software | fdsl {fdsl}, torch {torch} |

{rebuild}

Known limits: `docs/experiments.md` compares small networks on small images with the same networks
from random weights, and with other formulas.
"""

REBUILD = """\
To rebuild, run `{command}` of fdsl {fdsl}; `weights.json` has all settings. On the same kind of
processor, with the same version of torch and as many processes and threads (OMP_NUM_THREADS), the
weights are reproduced bit for bit, on a GPU only with `--deterministic`; elsewhere rounding
differs, and the result is another network of the same kind."""

UNFINISHED = """\
The run stopped early, after {images:,} of {whole:,} images, so its learning rate was still high.
`examples/pretrain.py` with the settings in `weights.json` and `--resume auto` continues it."""

CHANGED = """\
The run was resumed with other settings at step {step}, so no single command rebuilds it: `history`
in `weights.json` has the settings of each part."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write a model card."""

    folder: tyro.conf.Positional[Path]  # Read this folder of a finished run.


def main(argv: Sequence[str] | None = None) -> int:
    return training.run_script(Settings, write_card, argv, needs=["safetensors"])


def write_card(s: Settings) -> int:
    file = s.folder / "weights.safetensors"
    tensors, _ = training.load_weights(file)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    about = s.folder / "weights.json"
    with training.reading_file(about):
        card = describe(json.loads(about.read_text(encoding="utf-8")), file, parameters)
    training.write_whole(s.folder / "README.md", card.encode())
    print(f"{file}: {file.stat().st_size:,} bytes; see {s.folder / 'README.md'}")
    return 0


def describe(about: dict[str, Any], file: Path, parameters: int) -> str:
    """The card of weights in a file, from what weights.json says about them."""
    settings, rendering = about["settings"], about["rendering"]
    if "shrink" not in settings or "clusters" in settings:
        raise ValueError("it does not hold a run of pretrain.py, which a card describes")
    side = settings["shrink"] or rendering["crop"] or rendering["size"]
    of_make = training.read_presets(PRESETS, ["resnet10s"])
    as_made = all(settings[k] == json.loads(json.dumps(v)) for k, v in of_make.items())
    command = "make weights" if as_made else "examples/pretrain.py"
    rebuild = REBUILD.format(command=command, fdsl=about["fdsl"])
    images = about["samples_seen"]
    whole = settings["epochs"] * (settings["steps_per_epoch"] or 0) * settings["batch_size"]
    if images < whole:
        rebuild = UNFINISHED.format(images=images, whole=whole)
    elif len(about.get("history", ())) > 1:
        rebuild = CHANGED.format(step=about["history"][1]["first_step"])
    own = ".py:" in about["model"]  # which must be named to load it
    return CARD.format(
        model=about["model"],
        fdsl=about["fdsl"],
        torch=about["torch"],
        images=images,
        source=settings["source"] or "FractalDB",
        classes=about["num_classes"],
        size=f"{side}×{side}",
        side=side,
        file=file.name,
        name=f'name="{about["model"]}", ' if own else "",
        parameters=parameters,
        megabytes=file.stat().st_size / 1e6,
        rebuild=rebuild,
        digest=about["categories"],
        rendering=json.dumps(about["rendering"]),
        **about["normalize"],
    )


if __name__ == "__main__":
    sys.exit(main())
