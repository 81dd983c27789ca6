"""Draws docs/fractals.png, the picture at the top of the README: python docs/make_fractals.py"""

from pathlib import Path

import fdsl
import fdsl.preview
from PIL import Image

ifs = fdsl.IFS.search(categories=30, fill_rate=0.2, seed=1)
# Six categories, eight of their instances: weight rows 0, 3, 6, … and all mirrorings.
sheet = fdsl.preview.contact_sheet(
    ifs,
    categories=[0, 3, 5, 11, 23, 28],
    instances=[80, 3, 161, 242, 323, 484, 645, 886],
    rendering=fdsl.Rendering(size=128, points=60_000, patch="fixed"),
)
Image.fromarray(sheet).save(Path(__file__).with_name("fractals.png"), optimize=True)
