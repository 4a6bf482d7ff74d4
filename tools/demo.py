"""Train a small DCLS segmentor or detector on microscope images, and leave pictures to look at.

    python tools/demo.py seg
    python tools/demo.py det

Run it from the repository's root. Repeated, it shows the figures of the finished run.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from analysis_tools.draw_training import draw_training
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from mmengine.config import Config
from prepare_cells import STAMP, prepare, read_json
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdcls.dcls.drawing import (
    bare,
    dense_kernels,
    draw_density,
    draw_kernel,
    draw_positions,
    last_layers,
    owners_of,
)
from mmdcls.errors import InputError
from mmdcls.running.runner import build_runner
from mmdcls.running.traces import Traces

matplotlib.use("Agg")
CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "demo"
DATA = Path("data/cells")
TASKS = dict(
    seg=dict(
        config="dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py",
        work_dir="work_dirs/demo",
        evaluator=dict(output_dir="predictions"),
        metrics=["mIoU"],
    ),
    det=dict(
        config="cascade-mask-rcnn_dcls-convnext-mini_fpn_1xb2-240_cells.py",
        work_dir="work_dirs/demo_det",
        evaluator=dict(outfile_prefix="predictions"),
        metrics=["coco/bbox_mAP", "coco/segm_mAP"],
    ),
)
CLASSES = {1: "cell", 2: "nucleus"}
COLOURS = {1: (255, 176, 32), 2: (64, 208, 255)}
# Of the ten held-out frames: the scratch open, half closed and closed.
SHOWN = (0, 4, 8)
LEAST_SCORE = 0.5
ENLARGED = 3

# One object of a picture: its class and its mask.
Objects = list[tuple[int, np.ndarray]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=TASKS, help="segmentation or detection with masks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work-dir", type=Path, help="default work_dirs/demo or work_dirs/demo_det"
    )
    parser.add_argument("--again", action="store_true", help="train anew what is there already")
    parsed = parser.parse_args(arguments)
    prepare(DATA)
    cfg = demo_config(parsed.task, parsed.seed, parsed.work_dir)
    try:
        Traces(cfg).check()
    except InputError as error:
        raise SystemExit(str(error)) from error
    report = Path(cfg.work_dir) / "demo.json"
    made_from = fingerprint(cfg)
    finished = read_json(report)
    if parsed.again or not is_whole(finished, made_from):
        report.unlink(missing_ok=True)
        finished = dict(made_from=made_from, seed=parsed.seed, **train_and_draw(parsed.task, cfg))
        report.write_text(json.dumps(finished, indent=1))
    else:
        print("This run is finished already; --again trains anew.")
    show(finished)


def is_whole(finished: dict, made_from: str) -> bool:
    """Whether the report is of this very run, and its pictures are still there."""
    pictures = finished.get("pictures", {}).values()
    return finished.get("made_from") == made_from and all(Path(p).is_file() for p in pictures)


def demo_config(task: str, seed: int, work_dir: Path | None) -> Config:
    cfg = Config.fromfile(CONFIGS / TASKS[task]["config"])
    cfg.launcher = "none"
    cfg.work_dir = str(work_dir or TASKS[task]["work_dir"])
    cfg.randomness = dict(seed=seed)
    keep_predictions(cfg.val_evaluator, task, Path(cfg.work_dir))
    # Spares the console a dump of the config; train() logs as usual.
    cfg.log_level = "WARNING"
    return cfg


def keep_predictions(evaluator: dict, task: str, work_dir: Path) -> None:
    """Have the evaluator of a config write what `figures_of` judges."""
    for key, name in TASKS[task]["evaluator"].items():
        evaluator[key] = str(work_dir / name)


def fingerprint(cfg: Config) -> str:
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256((text + (DATA / STAMP).read_text()).encode()).hexdigest()


def train_and_draw(task: str, cfg: Config) -> dict:
    runner = build_runner(cfg)
    for handler in (runner.logger, *runner.logger.handlers):
        handler.setLevel("INFO")
    wall, cpu = time.monotonic(), time.process_time()
    runner.train()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    work_dir = Path(cfg.work_dir)
    figures = figures_of(task, work_dir)
    frames = list(segmented(work_dir) if task == "seg" else detected(work_dir, truth()))
    pictures = {
        "held-out frames: image, truth, prediction": work_dir / "overlays.png",
        "losses, rates and metrics": work_dir / "training.png",
        "learned positions": work_dir / "positions.png",
        "overview": work_dir / "overview.png",
    }
    overlays, training, positions, overview = pictures.values()
    draw_overlays([frames[i] for i in SHOWN], overlays)
    draw_training(work_dir, TASKS[task]["metrics"], training)
    draw_positions(runner.model, positions)
    draw_overview(frames[SHOWN[1]], runner.model, overview)
    seconds = dict(training_seconds=round(wall), training_cpu_seconds=round(cpu))
    return dict(figures=figures, pictures={k: str(v) for k, v in pictures.items()}, **seconds)


def show(finished: dict) -> None:
    figures = finished["figures"]
    width = max(map(len, figures))
    wall, cpu = finished["training_seconds"], finished["training_cpu_seconds"]
    print(f"\nTrained in {wall} s ({cpu} s of processor time), seed {finished['seed']}.")
    print("On the held-out side of the field:")
    for name, value in figures.items():
        print(f"  {name:{width}}  {value:.3f}")
    print("To look at:")
    for name, path in finished["pictures"].items():
        print(f"  {path}  ({name})")


def read_labels(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def held_out(folder: str) -> list[Path]:
    return sorted((DATA / folder / "validation").glob("*.png"))


def truth() -> COCO:
    return COCO(str(DATA / "annotations" / "instances_validation.json"))


def figures_of(task: str, work_dir: Path) -> dict[str, float]:
    """On the held-out sides, of the predictions that a run left in its work dir."""
    is_segmentor = task == "seg"
    return segmentation_figures(work_dir) if is_segmentor else detection_figures(work_dir, truth())


def segmentation_figures(work_dir: Path) -> dict[str, float]:
    """IoU of each class over all held-out pixels that are not ignored, and their mean."""
    names = {0: "background", **CLASSES}
    pairs = np.zeros((256, 256), np.int64)
    for path in held_out("annotations"):
        truth, found = read_labels(path), read_labels(work_dir / "predictions" / path.name)
        np.add.at(pairs, (truth, found), 1)
    pairs = pairs[: len(names), : len(names)]
    iou = np.diag(pairs) / (pairs.sum(0) + pairs.sum(1) - np.diag(pairs))
    figures = {f"IoU {names[i]}": float(value) for i, value in enumerate(iou)}
    return {**figures, "mIoU": float(iou.mean())}


def segmented(work_dir: Path) -> Iterator[tuple[np.ndarray, Objects, Objects]]:
    """Image, truth and prediction of every held-out frame."""
    for image, labels in zip(held_out("images"), held_out("annotations"), strict=True):
        found = work_dir / "predictions" / labels.name
        truth, prediction = (
            [(category, read_labels(path) == category) for category in CLASSES]
            for path in (labels, found)
        )
        yield cv2.imread(str(image))[..., ::-1], truth, prediction


def detection_figures(work_dir: Path, truth: COCO) -> dict[str, float]:
    """Average precision of boxes and masks, of each class."""
    figures = {}
    for kind, name in dict(bbox="box", segm="mask").items():
        evaluation = COCOeval(truth, truth.loadRes(f"{work_dir}/predictions.{kind}.json"), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        # (overlaps, recalls, classes, areas: first is all, most detections: last is 100)
        precision = evaluation.eval["precision"][..., 0, -1]
        for index, category in enumerate(evaluation.params.catIds):
            title = f"{name} AP{{}} {CLASSES[category]}"
            figures[title.format("")] = float(precision[..., index].mean())
            figures[title.format("50")] = float(precision[0, :, index].mean())
    return figures


def detected(work_dir: Path, truth: COCO) -> Iterator[tuple[np.ndarray, Objects, Objects]]:
    """As `segmented`; what scored less than LEAST_SCORE is left out."""
    found = truth.loadRes(f"{work_dir}/predictions.segm.json")
    for image in held_out("images"):
        (frame,) = (i for i, entry in truth.imgs.items() if entry["file_name"] == image.name)
        known, guessed = (
            [
                (entry["category_id"], coco.annToMask(entry).astype(bool))
                for entry in coco.loadAnns(coco.getAnnIds(imgIds=frame, iscrowd=0))
                if entry.get("score", 1) >= LEAST_SCORE
            ]
            for coco in (truth, found)
        )
        yield cv2.imread(str(image))[..., ::-1], known, guessed


def overlay(image: np.ndarray, objects: Objects) -> np.ndarray:
    """The image, enlarged, with the objects tinted and outlined; nuclei above cells."""
    size = (ENLARGED * image.shape[1], ENLARGED * image.shape[0])
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    for category in CLASSES:
        masks = [mask for kind, mask in objects if kind == category]
        large = [cv2.resize(mask.astype(np.float32), size) > 0.5 for mask in masks]
        if large:
            area = np.any(large, axis=0)
            canvas[area] = 0.75 * canvas[area] + 0.25 * np.array(COLOURS[category])
        for mask in large:
            lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            canvas = np.ascontiguousarray(canvas)
            cv2.drawContours(canvas, lines, -1, COLOURS[category], 2, cv2.LINE_AA)
    return canvas


def draw_overlays(frames: list[tuple[np.ndarray, Objects, Objects]], path: Path) -> None:
    figure = Figure(figsize=(9, 3.3 * len(frames)), layout="constrained")
    for row, frame in zip(figure.subplots(len(frames), 3, squeeze=False), frames, strict=True):
        draw_frame(row, frame)
    add_legend(figure)
    figure.savefig(path, dpi=110)


def draw_frame(axes: np.ndarray, frame: tuple[np.ndarray, Objects, Objects]) -> None:
    image, truth, prediction = frame
    titles = ("held-out image", "truth", "prediction")
    for ax, title, objects in zip(axes, titles, ([], truth, prediction), strict=True):
        ax.imshow(overlay(image, objects), interpolation="lanczos")
        ax.set_title(title, fontsize=10)
        bare(ax)


def add_legend(figure: Figure | SubFigure) -> None:
    patches = [
        Patch(facecolor=np.array(COLOURS[number]) / 255, label=name)
        for number, name in CLASSES.items()
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)


def draw_overview(frame: tuple[np.ndarray, Objects, Objects], model, path: Path) -> None:
    """One frame, and for each stage the learned positions over one of its dense kernels."""
    owners, layers = owners_of(model), last_layers(model)
    figure = Figure(figsize=(13, 3.3), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3 * 192 / 210, 0.5 * len(owners)))
    draw_frame(left.subplots(1, 3), frame)
    add_legend(left)
    for index, ((top, below), (_, owner)) in enumerate(
        zip(right.subplots(2, len(owners), squeeze=False).T, owners, strict=True)
    ):
        draw_density(top, owner)
        top.set_title(f"stage {index + 1}", fontsize=10)
        layer = layers[owner]
        draw_kernel(below, layer, owner, dense_kernels(owner, layer), 0)
        bare(top)
        bare(below)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
