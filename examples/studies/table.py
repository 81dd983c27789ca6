"""The paper's tables and figures: what each varies, and the accuracies the paper reports.

Settings are the paper's (`pretrain.py --help`, `finetune.py --help` explain them); a scale makes
them smaller. Settings that a line does not mention are the paper's best: FractalDB-1k at a filling
rate of 0.1, one mask per image, weights of 0.4.
"""

from dataclasses import replace

from studies.formulas import FORMULAS
from studies.plan import Line, Study, lines

#: The columns of Table 6.
SIX = ("cifar10", "cifar100", "imagenet", "places365", "voc2012", "omniglot")

COUNTS = (16, 32, 64, 128, 256, 512, 1000)
FROM_SCRATCH = Line(name="scratch", start="scratch")
FRACTALS = Line(name="FractalDB-1k")
BEST = (93.4, 75.7, 82.7, 75.9)  # the paper's accuracies with it, in Tables 8 and 9

STUDIES = {
    "figure1b": Study(
        title="Figure 1(b): convergence of fine-tuning",
        lines=(FROM_SCRATCH, FRACTALS, Line(name="another", start="against")),
        data=("cifar10",),
        figure="finetuning",
        budget="long",
        views=("curve",),
        seeds=1,
    ),
    "figure4-categories": Study(
        title="Figure 4: number of categories",
        # The paper prints only the gains from 16 to 1,000: +7.9 and +16.0.
        lines=lines("categories", dict.fromkeys(COUNTS, ())),
        figure="curve",
        xlabel="categories",
    ),
    "figure4-instances": Study(
        title="Figure 4: number of instances per category",
        # From 16 to 1,000: +5.2 and +8.9.
        lines=lines("instances", dict.fromkeys(COUNTS, ())),
        figure="curve",
        xlabel="instances",
    ),
    "table1": Study(
        title="Table 1: patch or point",
        lines=(
            Line(name="point", pretrain={"draw": "point"}, paper=(87.4, 66.1, 73.9, 73.0)),
            Line(
                name="patch, random", pretrain={"patch": "random"}, paper=(92.1, 72.0, 78.9, 73.2)
            ),
            Line(name="patch, fixed", paper=(92.9, 73.6, 80.0, 75.0)),
        ),
    ),
    "table2": Study(
        title="Table 2: filling rate",
        lines=lines(
            "fill_rate",
            {
                0.05: (91.8, 72.4, 80.2, 74.6),
                0.10: (92.0, 72.3, 80.5, 75.5),
                0.15: (91.7, 71.6, 80.2, 74.3),
                0.20: (91.3, 70.8, 78.8, 74.7),
                0.25: (91.1, 63.2, 72.4, 74.1),
            },
        ),
        figure="curve",
        xlabel="minimum filling rate",
    ),
    "table3": Study(
        title="Table 3: weights",
        lines=lines(
            "variation",
            {
                0.1: (92.1, 72.0, 78.9, 73.2),
                0.2: (92.4, 72.7, 79.2, 73.9),
                0.3: (92.4, 72.6, 79.2, 74.3),
                0.4: (92.7, 73.1, 79.6, 74.9),
                0.5: (91.8, 72.1, 78.9, 73.5),
            },
        ),
        figure="curve",
        xlabel="interval of the weights",
    ),
    "table4": Study(
        title="Table 4: points",
        lines=lines(
            "num_points",
            {
                100_000: (91.3, 70.8, 78.8, 74.7),
                200_000: (90.9, 71.0, 79.2, 74.8),
                400_000: (90.4, 70.3, 80.0, 74.5),
                800_000: (),  # in the text of section 3.3, not in the table
            },
        ),
        figure="curve",
        xlabel="points per image",
    ),
    "table5": Study(
        title="Table 5: size of the image, resized to what the network sees",
        lines=lines(
            "size",
            {
                256: (92.9, 73.6, 80.0, 75.0),
                362: (92.2, 73.2, 80.5, 75.1),
                512: (90.9, 71.0, 79.2, 73.0),
                724: (90.8, 71.0, 79.2, 73.0),
                1024: (89.6, 68.6, 77.5, 71.9),
            },
        ),
        figure="curve",
        xlabel="side of the image",
    ),
    "color": Study(
        title="Gray or color (section 4.1)",
        lines=(
            Line(name="gray"),
            Line(name="color", pretrain={"color": True}),
        ),
    ),
    "redraw": Study(
        title="Degenerate images, re-rendered or kept (not in the paper)",
        lines=(
            Line(name="re-rendered"),
            Line(name="kept", pretrain={"resample_degenerate": False}),
        ),
    ),
    "resolution": Study(
        title="Finer rendering of the same image (not in the paper)",
        # The points grow with the area; in Table 5 they do not.
        lines=(
            Line(name="half as fine", pretrain={"finer": 0.5}, x=0.5),
            Line(name="as it is", x=1),
            Line(name="twice as fine", pretrain={"finer": 2}, x=2),
        ),
        figure="curve",
        xlabel="how finely rendered",
    ),
    "table6": Study(
        title="Table 6: against other pre-training",
        lines=(
            Line(name="scratch", start="scratch", paper=(87.6, 62.7, 76.1, 49.9, 58.9, 1.1)),
            Line(name="FractalDB-1k", paper=(93.4, 75.7, 70.3, 49.5, 58.9, 20.9)),
            Line(
                name="FractalDB-10k",
                pretrain={"categories": 10_000},
                paper=(94.1, 77.3, 71.5, 50.8, 73.6, 29.2),
            ),
            Line(name="another", start="against"),  # ImageNet's, say
        ),
        data=SIX,
        budget="long",
    ),
    "table7": Study(
        title="Table 7: labels from the formula, or from k-means on the same fractals",
        lines=(
            Line(
                name="k-means (DeepCluster)",
                pretrain={"clusters": 10_000},
                paper=(83.1, 57.0, 65.3, 53.4, 60.4, 15.3),
            ),
            Line(name="FractalDB-1k", paper=(93.4, 75.7, 70.3, 49.5, 58.9, 20.9)),
            Line(
                name="FractalDB-10k",
                pretrain={"categories": 10_000},
                paper=(94.1, 77.3, 71.5, 50.8, 73.6, 29.2),
            ),
        ),
        data=SIX,
    ),
    "figure5": Study(
        title="Figure 5: pre-training with wrong labels",
        lines=tuple(
            Line(name=f"{percent}%", pretrain={"label_noise": percent / 100}, x=percent)
            for percent in (0, 20, 40, 60, 80, 100)
        ),
        data=(),
        figure="pretraining",
    ),
    "table8": Study(
        title="Table 8: freezing",
        lines=tuple(
            Line(name=name, finetune={"freeze": freeze}, paper=paper)
            for name, freeze, paper in (
                ("fine-tuning", "none", BEST),
                ("conv1", "conv1", (92.3, 72.2, 77.9, 74.3)),
                ("conv1-2", "conv2", (92.0, 72.0, 77.5, 72.9)),
                ("conv1-3", "conv3", (89.3, 68.0, 71.0, 68.5)),
                ("conv1-4", "conv4", (82.7, 56.2, 55.0, 58.3)),
                ("conv1-5", "conv5", (49.4, 24.7, 21.2, 31.4)),
            )
        ),
        budget="long",
        views=("main",),
    ),
    "table9": Study(
        title="Table 9: other formulas",
        lines=(
            replace(FROM_SCRATCH, paper=(87.6, 60.6, 75.3, 70.3)),
            *lines(
                "source",
                {
                    "bezier-144": (87.6, 62.5, 72.7, 73.5),
                    "bezier-1024": (89.7, 68.1, 73.0, 73.6),
                    "perlin-100": (90.9, 70.2, 73.0, 73.3),
                    "perlin-1296": (90.4, 71.1, 79.7, 74.2),
                },
            ),
            replace(FRACTALS, paper=BEST),
        ),
    ),
    "table10": Study(
        title="Table 10: classes that fractals serve better",
        # Compared with the last line: another checkpoint or, if none is given, no pre-training.
        lines=(FRACTALS, FROM_SCRATCH, Line(name="another", start="against")),
        figure="classes",
        budget="long",
        views=("best",),
    ),
    "figure6": Study(
        title="Figure 6: first filters, and Grad-CAM",
        lines=(FROM_SCRATCH, FRACTALS, Line(name="another", start="against")),
        data=("cifar10",),
        figure="filters",
        budget="long",
        views=("best",),
        seeds=1,
    ),
    "gain": Study(
        title="Gain against images seen in pre-training (not in the paper)",
        lines=(
            Line(name="scratch", start="scratch"),
            *(
                Line(name=f"{share:.0%} of the images", pretrain={"share": share}, x=share)
                for share in (0.02, 0.08, 0.16, 1.0)
            ),
        ),
        data=("cifar10", "fashion-mnist"),
        figure="curve",
        xlabel="share of the images of the longer pre-training",
        budget="long",
        views=("few labels", "some labels", "all labels", "probe"),
        tuned=True,
    ),
    **FORMULAS,
}
