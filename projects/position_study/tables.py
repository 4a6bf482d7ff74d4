"""What the study compares: data sets, tables, and the arms of each.

A cell is one training: a data set, an arm, a seed. `study.py` trains the cells of a table,
`report.py` tells what they say.
"""

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parent / "configs"


@dataclass(frozen=True)
class Data:
    """figure: the metric that judges; scale: what makes points of 100 of it."""

    config: str
    figure: str
    title: str
    scale: float = 1.0

    @property
    def path(self) -> Path:
        return CONFIGS / self.config


DATA = dict(
    garments_segmentation=Data("garments_segmentation.py", "mIoU", "garments, mIoU"),
    garments_classification=Data("garments_classification.py", "accuracy", "garments, accuracy"),
    cells_segmentation=Data("cells_segmentation.py", "mIoU", "cells, mIoU"),
    prompts_classification=Data("prompts_classification.py", "accuracy", "prompts, accuracy"),
    cells_instances=Data("cells_instances.py", "coco/segm_mAP", "cells, mask AP", scale=100.0),
)


@dataclass(frozen=True)
class Arm:
    """kernel: a row of the network's kernel makers, with its options.
    network: the backbone, where it is not the config's.
    rate: `paramwise_cfg` of the optimiser; None leaves the config's.
    repulsion: weight of the term, from the end of the warm-up on.
    recipe: what it takes of the best recipe that was found on other data: "whole", "start" (the
        initial spread alone, for positions that stay), or nothing.
    factors: where it stands on the axes of its table's picture.
    """

    kernel: dict[str, Any]
    rate: dict[str, Any] | None = None
    repulsion: float = 0.0
    recipe: str | None = None
    factors: dict[str, Any] = field(default_factory=dict)
    network: str | None = None


@dataclass(frozen=True)
class Claim:
    """That an arm is better than another."""

    sentence: str
    arm: str
    than: str


@dataclass(frozen=True)
class Table:
    """reference: the arm that differences are taken to.
    part: of the data, which judges. Where a table is there to choose from, it is "validation", and
        its test figures are not shown; all arms are then trained under the first seed, to choose,
        and under the others those that claims compare.
    picture: "forest", "curve" or "map", in `pictures.py`.
    data: the data sets that it is trained on; None for all.
    """

    question: str
    reference: str
    arms: dict[str, Arm]
    claims: tuple[Claim, ...]
    part: str = "test"
    picture: str = "forest"
    data: tuple[str, ...] | None = None

    def arms_under(self, seed: int) -> dict[str, Arm]:
        if seed == 0 or self.part == "test":
            return self.arms
        compared = {arm for claim in self.claims for arm in (claim.arm, claim.than)}
        return {name: arm for name, arm in self.arms.items() if name in compared}


WARM_UP = 50
# How many elements have the parameters of a dense 7x7 in a stage of two blocks, which share
# positions; widths cost two parameters more for each.
NEUTRAL = dict(bilinear=24, bilinear_normalized=24, triangle=16, gaussian=16)
DCLS = dict(type="dcls", kernel_size=17, interpolation="bilinear", kernel_count=NEUTRAL["bilinear"])

# Starts: the published normal of half a cell; one of a quarter of the kernel's radius; uniform over
# the kernel, as learned delays start; a grid over the kernel, each element drawn about its place.
SPREADS = ("normal", "wide_normal", "uniform", "jittered_grid")
# Rates: positions at the network's own, as published for dense prediction; five times that, the
# method's value; and travels, the radii of the kernel that a position may go in the whole training:
# less than to the border, to the border, there and back.
RATES = {
    "rate-1": dict(position_lr_mult=1.0),
    "rate-5": dict(position_lr_mult=5.0),
    "travel-0.3": dict(position_travel=0.3),
    "travel-1": dict(position_travel=1.0),
    "travel-3": dict(position_travel=3.0),
}
# Repulsion has the published weight, at the method's rate and at one at which positions can follow
# it: two of five rates tell whether it matters, at half the cells.
REPELLED = ("rate-5", "travel-1")


# The start that came after the others has the rates that were the best for them.
LATE = "wide_normal"
LATE_RATES = ("rate-5", "travel-1", "travel-3")


def recipe_arms() -> dict[str, Arm]:
    arms = {}
    for spread, (rate, options) in product(SPREADS, RATES.items()):
        if spread == LATE and rate not in LATE_RATES:
            continue
        for repulsion in (0.0, 1.0) if rate in REPELLED and spread != LATE else (0.0,):
            arms[f"{spread}_{rate}{'_repulsion' if repulsion else ''}"] = Arm(
                dict(DCLS, initial_spread=spread),
                options,
                repulsion,
                factors=dict(spread=spread, rate=rate, repulsion=repulsion),
            )
    return arms


RECIPE = Table(
    question="Which start, and which rate of positions?",
    reference="normal_rate-5",  # as published
    arms=recipe_arms(),
    claims=(
        Claim("a uniform start beats the published one", "uniform_rate-5", "normal_rate-5"),
        Claim(
            "from the published start, a travel of one radius beats the method's rate",
            "normal_travel-1",
            "normal_rate-5",
        ),
        Claim(
            "from a uniform start, a travel of one radius beats the method's rate",
            "uniform_travel-1",
            "uniform_rate-5",
        ),
        Claim(
            "a jittered grid is a better start than a uniform draw",
            "jittered_grid_travel-1",
            "uniform_travel-1",
        ),
        Claim(
            "from the published start, a travel of three radii beats the method's rate",
            "normal_travel-3",
            "normal_rate-5",
        ),
        Claim(
            "a wider normal start beats the published one, both with a travel of three radii",
            "wide_normal_travel-3",
            "normal_travel-3",
        ),
        Claim("repulsion helps the published recipe", "normal_rate-5_repulsion", "normal_rate-5"),
        Claim(
            "repulsion helps a uniform start that travels",
            "uniform_travel-1_repulsion",
            "uniform_travel-1",
        ),
    ),
    part="validation",
    picture="curve",
)

PAYS = Table(
    question="Does DCLS pay?",
    reference="dense-7",
    arms={
        # Of equal parameters; positions that stay count as if they learned.
        "learned": Arm(DCLS, recipe="whole"),
        "frozen-random": Arm(dict(DCLS, type="frozen"), recipe="start"),
        "frozen-grid": Arm(dict(DCLS, type="frozen", grid=True)),
        "dense-7": Arm(dict(type="dense", kernel_size=7)),
        # Cells three apart reach 19 cells; two apart would fall short of 17.
        "dilated-7": Arm(dict(type="dilated", kernel_size=7, dilation=3)),
        # More parameters, a weight for each of 289 cells: what a large kernel alone brings.
        "dense-17": Arm(dict(type="dense", kernel_size=17)),
    },
    claims=(
        Claim("DCLS beats a dense 7x7 of as many parameters", "learned", "dense-7"),
        Claim("learned positions beat random ones that stay", "learned", "frozen-random"),
        Claim("learned positions beat a regular grid", "learned", "frozen-grid"),
        Claim("DCLS beats a dilated 7x7 of as many parameters", "learned", "dilated-7"),
        Claim("DCLS beats a dense 17x17 of more parameters", "learned", "dense-17"),
        Claim("a dense 17x17 beats a dense 7x7", "dense-17", "dense-7"),
    ),
)

INTERPOLATION = Table(
    question="Which interpolation?",
    reference="bilinear",
    arms={
        name: Arm(dict(DCLS, interpolation=name, kernel_count=count), recipe="whole")
        for name, count in NEUTRAL.items()
    },
    claims=(
        Claim("Gaussian beats bilinear", "gaussian", "bilinear"),
        Claim("triangle beats bilinear", "triangle", "bilinear"),
        Claim("normalised beats plain bilinear", "bilinear_normalized", "bilinear"),
    ),
)

# Parameters follow from the count, and are the same at every size.
COUNTS = (6, 12, 24, 40)
SIZES = (7, 11, 17, 23, 31)

SIZE = Table(
    question="How many elements, in how large a kernel?",
    reference="24-in-7",
    arms={
        f"{count}-in-{size}": Arm(
            dict(DCLS, kernel_size=size, kernel_count=count),
            recipe="whole",
            factors=dict(size=size, count=count),
        )
        for count, size in product(COUNTS, SIZES)
    },
    claims=(
        Claim("17 cells beat 7, with 24 elements", "24-in-17", "24-in-7"),
        Claim("17 cells beat 11, with 24 elements", "24-in-17", "24-in-11"),
        Claim("23 cells beat 17, with 24 elements", "24-in-23", "24-in-17"),
        Claim("31 cells beat 17, with 24 elements", "24-in-31", "24-in-17"),
        Claim("24 elements beat 6, in 17 cells", "24-in-17", "6-in-17"),
        Claim("24 elements beat 12, in 17 cells", "24-in-17", "12-in-17"),
        Claim("40 elements beat 24, in 17 cells", "40-in-17", "24-in-17"),
    ),
    part="validation",
    picture="map",
)

# A ResNet whose two dense 3x3 kernels of a block become DCLS by a rule, with as many parameters.
RULE = dict(type="dcls", kernel_count="neutral")

NETWORK = Table(
    question="Does DCLS pay in a standard network?",
    reference="resnet-3",
    arms={
        "resnet-3": Arm(dict(type="plain"), network="StudyResNet"),
        **{
            f"resnet-{size}": Arm(
                dict(RULE, kernel_size=size), recipe="whole", network="StudyResNet"
            )
            for size in (7, 11)
        },
        "resnet-7-frozen": Arm(
            dict(RULE, type="frozen", kernel_size=7), recipe="start", network="StudyResNet"
        ),
    },
    claims=(
        Claim("a ResNet gains from 7x7 DCLS in place of 3x3", "resnet-7", "resnet-3"),
        Claim("11x11 beats 7x7", "resnet-11", "resnet-7"),
        Claim("learned positions beat random ones that stay", "resnet-7", "resnet-7-frozen"),
    ),
    data=("garments_segmentation", "cells_segmentation"),
)


def generated_arm(kernel: dict[str, Any], network: float, mask: float = 1.0) -> Arm:
    """A kernel that a small network draws; network, mask: multiples of the rate at which each
    learns, without the weight decay that is not for what makes kernels."""
    keys = {"dwconv.network": network, "dwconv.mask": mask}
    custom = {name: dict(lr_mult=rate, decay_mult=0.0) for name, rate in keys.items()}
    return Arm(kernel, dict(custom_keys=custom))


# Eight settings for each rival, of what matters to it by its paper: the frequencies of CKConv, the
# first size of FlexConv's mask, 5x5 as published or 11x11, and the rates.
GENERATOR_RATES = (1.0, 0.1)


def rival_arms() -> dict[str, Arm]:
    arms = {}
    for omega, rate in product((2.5, 5.0, 10.0, 20.0), GENERATOR_RATES):
        kernel = dict(type="ckconv", kernel_size=17, omega_0=omega)
        arms[f"ckconv_omega-{omega:g}_rate-{rate:g}"] = generated_arm(kernel, rate)
    for sigma, rate, mask in product((0.15, 0.3), GENERATOR_RATES, GENERATOR_RATES):
        kernel = dict(type="flexconv", kernel_size=17, sigma=sigma)
        name = f"flexconv_sigma-{sigma:g}_rate-{rate:g}_mask-{mask:g}"
        arms[name] = generated_arm(kernel, rate, mask)
    return arms


CHOSEN_ON = "prompts_classification"
RIVALS = Table(
    question="Which settings for networks that draw kernels?",
    reference="ckconv_omega-10_rate-1",
    arms=rival_arms(),
    claims=(
        Claim(
            "CKConv learns better at a tenth of the rate",
            "ckconv_omega-10_rate-0.1",
            "ckconv_omega-10_rate-1",
        ),
        Claim(
            "a frequency of 20 suits CKConv better than 5",
            "ckconv_omega-20_rate-1",
            "ckconv_omega-5_rate-1",
        ),
        Claim(
            "FlexConv learns better from 11x11 than from the published 5x5",
            "flexconv_sigma-0.3_rate-1_mask-0.1",
            "flexconv_sigma-0.15_rate-1_mask-0.1",
        ),
        Claim(
            "FlexConv's mask learns better at the full rate than at the published tenth",
            "flexconv_sigma-0.15_rate-1_mask-1",
            "flexconv_sigma-0.15_rate-1_mask-0.1",
        ),
    ),
    part="validation",
    data=(CHOSEN_ON,),
)

MAKERS = Table(
    question="Which maker of kernels?",
    reference="dense-7",
    arms={
        # All of equal parameters. The rivals have the settings that were the best of theirs on the
        # validation part of CHOSEN_ON, under the first seed.
        "dcls": PAYS.arms["learned"],
        "ckconv": RIVALS.arms["ckconv_omega-5_rate-1"],
        "flexconv": RIVALS.arms["flexconv_sigma-0.15_rate-0.1_mask-1"],
        "dense-7": PAYS.arms["dense-7"],
        "dilated-7": PAYS.arms["dilated-7"],
    },
    claims=(
        Claim("DCLS beats CKConv", "dcls", "ckconv"),
        Claim("DCLS beats FlexConv", "dcls", "flexconv"),
        Claim("CKConv beats a dense 7x7", "ckconv", "dense-7"),
        Claim("FlexConv beats a dense 7x7", "flexconv", "dense-7"),
        Claim("FlexConv beats CKConv", "flexconv", "ckconv"),
        Claim("CKConv beats a dilated 7x7", "ckconv", "dilated-7"),
        Claim("FlexConv beats a dilated 7x7", "flexconv", "dilated-7"),
    ),
)

# In this order, as the others take the recipe that the first finds.
TABLES = dict(
    recipe=RECIPE,
    pays=PAYS,
    interpolation=INTERPOLATION,
    size=SIZE,
    rivals=RIVALS,
    makers=MAKERS,
    network=NETWORK,
)


def overrides_of(arm: Arm, recipe: Arm | None = None) -> dict[str, Any]:
    """What the arm changes in the config of a data set.

    recipe: an arm of the recipe's table, for an arm that takes from one.
    """
    kernel, rate, repulsion = dict(arm.kernel), arm.rate, arm.repulsion
    if arm.recipe:
        kernel["initial_spread"] = recipe.kernel["initial_spread"]
    if arm.recipe == "whole":
        rate, repulsion = recipe.rate, recipe.repulsion
    overrides: dict[str, Any] = {"model.backbone.kernel": dict(kernel, _delete_=True)}
    if arm.network is not None:
        overrides["model.backbone.type"] = arm.network
    if rate is not None:
        overrides["optim_wrapper.paramwise_cfg"] = dict(rate, _delete_=True)
    if repulsion:
        term = dict(type="mmdcls.Repulsion", weight=repulsion, begin=WARM_UP)
        overrides["custom_hooks"] = [dict(type="mmdcls.ClampPositions"), term]
    return overrides
