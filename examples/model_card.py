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

model, _ = load_pretrained("{file}", num_classes=10, input_size={side})
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

Known limits: a small network on small images. `docs/experiments.md` compares it with the same
network from random weights, and with other formulas.
"""

REBUILD = """\
To rebuild, run `{command}` of fdsl {fdsl}; `weights.json` has all settings. On the same kind of
processor, with the same version of torch and as many threads (OMP_NUM_THREADS), the weights are
reproduced bit for bit; elsewhere rounding differs, and the result is another network of the same
kind."""

CHANGED = """\
The run was resumed with other settings at step {step}, so no single command rebuilds it: `history`
in `weights.json` has the settings of each part."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write a model card."""

    folder: tyro.conf.Positional[Path]  # Read this folder of a finished run.


def main(argv: Sequence[str] | None = None) -> int:
    return training.run_script(Settings, write_card, argv)


def write_card(s: Settings) -> int:
    file = s.folder / "weights.safetensors"
    tensors, _ = training.load_weights(file)
    about: dict[str, Any] = json.loads((s.folder / "weights.json").read_text(encoding="utf-8"))
    settings, rendering = about["settings"], about["rendering"]
    side = settings["shrink"] or rendering["crop"] or rendering["size"]
    command = "make weights" if settings["preset"] == ["resnet10s"] else "examples/pretrain.py"
    rebuild = REBUILD.format(command=command, fdsl=about["fdsl"])
    if len(about.get("history", ())) > 1:
        rebuild = CHANGED.format(step=about["history"][1]["first_step"])
    card = CARD.format(
        model=about["model"],
        fdsl=about["fdsl"],
        torch=about["torch"],
        images=about["samples_seen"],
        source=settings["source"] or "FractalDB",
        classes=about["num_classes"],
        size=f"{side}×{side}",
        side=side,
        file=file.name,
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        megabytes=file.stat().st_size / 1e6,
        rebuild=rebuild,
        digest=about["categories"],
        rendering=json.dumps(about["rendering"]),
        **about["normalize"],
    )
    training.write_whole(s.folder / "README.md", card.encode())
    print(f"{file}: {file.stat().st_size:,} bytes; see {s.folder / 'README.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
