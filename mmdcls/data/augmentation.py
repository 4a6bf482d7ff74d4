"""Test-time augmentation of a config, held against the pipeline that it takes the place of."""

from collections.abc import Sequence

from mmengine.config import Config

from mmdcls.config import nodes, sets_of
from mmdcls.registry import bare_name

RESIZING = ("Resize", "ResizeShortestEdge")


def views_apart(cfg: Config) -> str | None:
    """A sentence where the views of tta_pipeline have other sizes than the images of the test."""
    views = short_sides(cfg.tta_pipeline)
    pipelines = [dataset.get("pipeline") or () for _, dataset in sets_of(cfg, "test")]
    tested = [short_sides(pipeline) for pipeline in pipelines]
    if not views or all(sides & views for sides in tested):
        return None
    theirs = sorted({side for sides in tested for side in sides})
    return (
        f"tta_pipeline makes the short side {listed(sorted(views))} pixels, and the test pipeline "
        f"{f'makes it {listed(theirs)}' if theirs else 'gives it no such size'}: the two tests see "
        f"objects at other sizes; give a tta_pipeline whose scales are multiples of that of the "
        f"test pipeline."
    )


def short_sides(pipeline: Sequence[dict]) -> set[int]:
    """To which images are resized, in whatever branch; those resized by a factor have none."""
    return {
        scale if isinstance(scale, int) else min(scale)
        for _, node in nodes("pipeline", list(pipeline))
        if bare_name(node.get("type", "")) in RESIZING and (scale := node.get("scale"))
    }


def listed(sides: Sequence[int]) -> str:
    return ", ".join(map(str, sides))
