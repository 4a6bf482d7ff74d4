"""Whether the classes of data sets, heads and losses go together."""

from collections.abc import Iterator

from torch import nn

from mmdcls.config import nodes, sets_of

from .findings import Finding, Run
from .labels import classes_told_apart, has_usual_loss, heads_of, ignored_by
from .sets import class_of, classes_of, transform

# Labels are read into bytes, in which 255 stands for no class.
MOST_CLASSES = 255


def check_classes(run: Run) -> Iterator[Finding]:
    """Of every data set: how many there are, and what they are called."""
    for split in run.splits:
        for path, node in sets_of(run.cfg, split):
            # Depth maps and the like have data sets with classes as well.
            if "LoadAnnotations" not in str(node.get("pipeline")):
                continue
            classes = classes_of(node)
            if isinstance(classes, str):
                yield Finding(
                    f"{path}.metainfo.classes={classes!r} is a text, each letter of it a class; "
                    f"write ({classes!r},)."
                )
            elif classes is not None:
                yield from check_known(path, node, classes)
                yield from check_palette(path, node, len(classes))
                yield from check_number(path, len(classes), run.model)


def check_known(path: str, node: dict, classes: list[str]) -> Iterator[Finding]:
    """mmseg takes classes of a data set that has its own only from these."""
    kind = class_of(node)
    own = (getattr(kind, "METAINFO", None) or {}).get("classes")
    strangers = [name for name in classes if own and name not in own]
    if hasattr(kind, "get_label_map") and strangers:
        yield Finding(
            f"{path}.metainfo.classes has {strangers[0]!r}, and {kind.__name__} knows its own "
            f"classes only; give type='BaseSegDataset' for classes of yours."
        )


def check_palette(path: str, node: dict, count: int) -> Iterator[Finding]:
    """mmseg wants a colour for every class and no more, also of what a config inherits."""
    palette = (node.get("metainfo") or {}).get("palette")
    of_mmseg = hasattr(class_of(node), "get_label_map")
    count_of_colours = len(palette) if isinstance(palette, (list, tuple)) and palette else count
    if count_of_colours < count or (of_mmseg and count_of_colours > count):
        yield Finding(
            f"{path}.metainfo.palette has {count_of_colours} colours for {count} classes, and may "
            f"be that of a config it inherits; give one for each, or metainfo=dict(_delete_=True, "
            f"classes=...)."
        )


def check_number(path: str, count: int, model: nn.Module) -> Iterator[Finding]:
    # Where classes are texts, there may be any number of them.
    if hasattr(model, "language_model") or hasattr(model, "text_encoder"):
        return
    for name, head in heads_of(model, "decode_head", "bbox_head", "mask_head", "panoptic_head"):
        if count not in classes_told_apart(head):
            yield Finding(
                f"{path} has {count} classes, and model.{name}.num_classes={head.num_classes}: "
                f"give both the same (the classes by {path}.metainfo)."
            )


def check_bytes(run: Run) -> Iterator[Finding]:
    sets = [node for split in run.splits for _, node in sets_of(run.cfg, split)]
    loads = any(transform(node, "LoadAnnotations") for node in sets)
    for name, head in heads_of(run.model, "decode_head"):
        if loads and head.num_classes > MOST_CLASSES:
            yield Finding(
                f"model.{name}.num_classes={head.num_classes}: LoadAnnotations reads labels into "
                f"bytes, in which 255 is no class, so that {MOST_CLASSES} classes are the most.",
                # Predictions that nobody compares with labels hold any number.
                is_wrong="train" in run.splits,
            )


def check_padding(run: Run) -> Iterator[Finding]:
    """What label maps are filled up with must be a class, or what heads ignore."""
    preprocessor = run.model_config.get("data_preprocessor") or {}
    if "train" not in run.splits or "SegDataPreProcessor" not in str(preprocessor.get("type")):
        return
    padding = preprocessor.get("seg_pad_val", 255)
    for name, head in heads_of(run.model, "decode_head", "auxiliary_head"):
        if padding != ignored_by(head) and not 0 <= padding < head.num_classes:
            yield Finding(
                f"model.data_preprocessor.seg_pad_val={padding} is not "
                f"model.{name}.ignore_index={ignored_by(head)}, and no class: give both the same."
            )


def check_class_weights(run: Run) -> Iterator[Finding]:
    if "train" not in run.splits:
        return
    for name, head in heads_of(
        run.model, "decode_head", "auxiliary_head", "bbox_head", "panoptic_head"
    ):
        # A query may find nothing, as a region may.
        count, is_detector = head.num_classes, "bbox_head" in name or hasattr(head, "num_queries")
        is_binary = getattr(head, "out_channels", None) == 1
        if not is_detector and (is_binary or not has_usual_loss(head)):
            continue
        for path, loss in nodes(f"model.{name}", config_at(run, name)):
            weights, by_sigmoid = loss.get("class_weight"), loss.get("use_sigmoid")
            if not isinstance(weights, (list, tuple)) or "loss_" not in path:
                continue
            # By softmax, detectors weigh the background as well.
            wanted = count + 1 if is_detector and not by_sigmoid else count
            if len(weights) != wanted:
                yield Finding(
                    f"{path}.class_weight has {len(weights)} numbers, where num_classes={count} "
                    f"asks for {wanted}."
                )
            elif by_sigmoid and loss.get("type") == "CrossEntropyLoss" and not is_detector:
                yield Finding(
                    f"{path}.class_weight has no place in a loss with use_sigmoid=True, which "
                    f"takes none of several classes; leave it out, or take use_sigmoid=False."
                )


def config_at(run: Run, name: str) -> object:
    """What the config says of a module of the model."""
    node = run.model_config
    for key in name.split("."):
        node = node[int(key)] if isinstance(node, (list, tuple)) else node.get(key, {})
    return node
