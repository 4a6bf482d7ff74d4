import os
from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmdcls.data.reading import parts_of
from mmdcls.dcls.arguments import check_text
from mmdcls.registry import HOOKS
from mmdcls.running.legends import with_legend
from mmdcls.running.predicted_files import bare_places, write_labels


@HOOKS.register_module()
class KeepPredictions(Hook):
    """Write what a segmentor's test finds, in folders as those of the images.

    output_dir: for label images, whose classes are numbered as the data set does.
    show_dir: for pictures of predictions beside the truth, with a legend of the classes in either.
    backend_args: of mmengine's fileio, to read the images of pictures.

    mmseg's own writers know images by their names, and write those of one name over each other.
    """

    def __init__(
        self,
        output_dir: str | None = None,
        show_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        for name, value in dict(output_dir=output_dir, show_dir=show_dir).items():
            if value is not None:
                check_text(name, value, "the path of a folder")
        if not isinstance(backend_args, dict | None):
            raise ValueError(f"backend_args={backend_args!r} must be a dict, or None")
        self.output_dir, self.show_dir = output_dir, show_dir
        self.backend_args = backend_args
        self.places: dict[str, Path] = {}

    def before_test(self, runner: Runner) -> None:
        dataset = runner.test_dataloader.dataset
        images = {dataset.get_data_info(index)["img_path"] for index in range(len(dataset))}
        folders = {part.data_prefix.get("img_path") for part in parts_of(dataset)}
        folders |= {os.path.dirname(image) for image in images}
        shared = os.path.commonpath([os.path.abspath(folder) for folder in folders if folder])
        self.places = bare_places({image: Path(os.path.relpath(image, shared)) for image in images})

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] = (),
    ) -> None:
        for sample in outputs:
            name = f"{self.places[sample.img_path]}.png"
            if self.output_dir:
                labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
                first = int(sample.get("reduce_zero_label", False))
                write_labels(os.path.join(self.output_dir, name), labels, runner.model, first)
            if self.show_dir:
                self.draw(runner, sample, name)

    def draw(self, runner: Runner, sample: BaseDataElement, name: str) -> None:
        path = sample.img_path
        image = mmcv.imread(path, channel_order="rgb", backend_args=self.backend_args)
        out_file = os.path.join(self.show_dir, name)
        runner.visualizer.add_datasample(name, image, sample, out_file=out_file)
        maps = [sample.get(key) for key in ("gt_sem_seg", "pred_sem_seg")]
        labels = np.unique([part.data.cpu().numpy() for part in maps if part is not None])
        drawn = mmcv.imread(out_file, channel_order="rgb")
        has_truth = drawn.shape[1] == 2 * image.shape[1]
        titles = ("truth", "prediction") if has_truth else ("prediction",)
        drawn = with_legend(drawn, labels.tolist(), runner.visualizer.dataset_meta, titles)
        mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
