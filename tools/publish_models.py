"""Train our small models from their configs and a seed, as safetensors with model cards.

    python tools/publish_models.py          # all of them
    python tools/publish_models.py cells delays --out models

The folder `models` has those that are small enough to be committed. A run that is finished already
is not trained anew. Run it from the repository's root.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import demo
import torch
from mmengine.config import Config
from prepare_cells import prepare as prepare_cells
from prepare_cells import read_json
from safetensors.torch import save

from mmdcls.checkpoint.trained import Trained, load_trained
from mmdcls.config import read_config
from mmdcls.running.failures import in_a_sentence
from mmdcls.running.runner import build_runner
from mmdcls.study.cells import Cell, key_of

ROOT = Path(__file__).resolve().parents[1]
RUNS = Path("work_dirs/models")
SCRATCH = (
    "a scratch assay from [ndev-sampledata](https://pypi.org/project/ndev-sampledata/0.0.3/) 0.0.3 "
    "(copyright 2025 Tim Monko, BSD-3-Clause), which the command fetches: columns 0 to 383 of ten "
    "frames; labels were made by a machine, and configs/demo/README.md says what is wrong with them"
)
PROMPTS = (
    "1,863 telephone prompts of Debian's asterisk-core-sounds, which the command fetches and the "
    "file does not hold: English and Spanish by Allison Smith, French by June Wallack "
    "(CC-BY-SA-3.0), Russian by Maxim, ivrvoice.ru, and Italian by Carlo Flora, "
    "segreterietelefoniche.it (CC-BY-3.0)"
)
DIGITS = (
    "digits in English and German, which the command has 64 voices of espeak-ng say, a program "
    "under GPL-3 from [espeakng-loader](https://pypi.org/project/espeakng-loader/0.2.4/) 0.2.4; it "
    "does not say a word twice in the same way, so that other digits give other figures"
)
# Of 5 and 11 MB, which the command makes and the repository does not hold.
LARGE = ("seg", "det")
CARD = """\
# {name}

{says}

It shows what DCLS does, on data like those it was trained on, and is of no use elsewhere.

| | |
|---|---|
| config | `{config}`, seed {seed} |
| command | `python tools/publish_models.py {name}` |
| trained on | {data} |
| figures | {figures}; of this file, on {part} |
| file | {size} kB, {kind} |
| parameters | {parameters} |
| SHA256 | {checksum} |
| licence | Apache-2.0 |{example}

```bash
{run}
```
"""
EXAMPLE = """
| example | `{name}.png`, held out; its licence is in `{name}.png.license` |"""


@dataclass(frozen=True)
class Model:
    """What is trained, and what its card says.

    config: path from the repository's root.
    says: what it knows.
    part: of the data, whose figures are told.
    run: a command that predicts with it or evaluates it; {config} and {file} are filled in.
    prepare: makes the data where they are not there.
    task: that of tools/demo.py whose figures are told; else `shown`, which the evaluator gives in
        percent.
    example: an image of the data that is put beside the file.
    """

    config: str
    says: str
    data: str
    part: str
    run: str
    prepare: Callable[[], None]
    task: str | None = None
    shown: tuple[str, ...] = ()
    example: Path | None = None


def prepare_scratch() -> None:
    prepare_cells(demo.DATA)


def prepare_digits() -> None:
    from projects.delays import prepare

    if not Path("data/delays/digits.npz").is_file():
        prepare.main([])


def prepare_prompts() -> None:
    from projects.audio import prepare

    if not Path("data/audio/prompts/labels.csv").is_file():
        prepare.main([])


ON_SCRATCH = dict(data=SCRATCH, prepare=prepare_scratch, part="columns 416 to 575, held out")
PREDICT = "mmdcls predict {config} {file} IMAGE"
MODELS = dict(
    cells=Model(
        "configs/demo/dcls-convnext-micro_upernet_1xb8-360_cells-320x320.py",
        "A UPerNet with 17x17 DCLS kernels that tells background, cells and nuclei in phase "
        "contrast with a nuclear stain laid over it in blue. The network is that of "
        "[the position study](../projects/position_study/README.md), and positions start and learn "
        "by the recipe that had the best mIoU there on the validation part of these cells, under "
        "the one seed that was trained: `jittered_grid_rate-5`, 73.5; the published "
        "`normal_rate-5` has 71.4. Losses are those of the demo's segmentor, which were chosen by "
        "looking at the held-out columns, so figures are slightly optimistic.",
        run="mmdcls predict --model {name}",
        task="seg",
        # The scratch half closed.
        example=demo.DATA / "images/validation/frame_04.png",
        **ON_SCRATCH,
    ),
    delays=Model(
        "projects/delays/configs/digits.py",
        "A spiking network with learned delays, whole when it is evaluated: which digit is spoken, "
        "and whether forwards or backwards, from spikes of 32 channels.",
        DIGITS,
        "the test part, 24 other voices",
        "PYTHONPATH=. python tools/test.py {config} {file}",
        prepare_digits,
        shown=("accuracy", "direction"),
    ),
    audio=Model(
        "projects/audio/configs/prompts_convnext.py",
        "A ConvNeXt for spectrograms with 23x23 Gaussian DCLS kernels: whether a prompt of a "
        "telephone exchange is English, Spanish, French, Italian or Russian.",
        PROMPTS,
        "the test part, 615 prompts with other words",
        "python -m projects.audio.predict {config} {file} data/audio/prompts/ru/agent-pass.wav",
        prepare_prompts,
        shown=("accuracy", "mAP"),
    ),
    seg=Model(
        f"configs/demo/{demo.TASKS['seg']['config']}",
        "The segmentor of `make demo`: background, cells and nuclei.",
        run=PREDICT,
        task="seg",
        **ON_SCRATCH,
    ),
    det=Model(
        f"configs/demo/{demo.TASKS['det']['config']}",
        "The detector of `make demo-det`: cells and nuclei, with masks.",
        run=PREDICT,
        task="det",
        **ON_SCRATCH,
    ),
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ", ".join(MODELS)
    parser.add_argument("models", nargs="*", metavar="NAME", help=f"{names}; default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RUNS, help="folder; default %(default)s")
    parser.add_argument("--float32", action="store_true", help="twice the size")
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.models) - set(MODELS):
        parser.error(f"{', '.join(sorted(unknown))} is unknown; there are {names}")
    kind = torch.float32 if parsed.float32 else torch.float16
    with in_a_sentence():
        for name in parsed.models or MODELS:
            MODELS[name].prepare()
            folder = RUNS / f"{name}_seed{parsed.seed}"
            checkpoint = trained(name, parsed.seed, folder)
            target = parsed.out / f"{name}.safetensors"
            publish(MODELS[name], checkpoint, target, parsed.seed, kind)
            print(f"{target} is written, with a card beside it")


def trained(name: str, seed: int, folder: Path) -> str:
    """The checkpoint of a run in this folder, trained where it is not finished yet."""
    config = ROOT / MODELS[name].config
    key, report = key_of(Cell("models", name, "", seed, config)), folder / "finished.json"
    if read_json(report).get("key") != key:
        cfg = read_config(str(config))
        cfg.work_dir, cfg.launcher, cfg.log_level = str(folder), "none", "WARNING"
        cfg.randomness = dict(seed=seed)
        runner = build_runner(cfg)
        for handler in (runner.logger, *runner.logger.handlers):
            handler.setLevel("INFO")
        runner.train()
        report.write_text(json.dumps(dict(key=key)))
    return (folder / "last_checkpoint").read_text().strip()


def publish(
    model: Model, checkpoint: str, target: Path, seed: int, kind: torch.dtype = torch.float16
) -> None:
    """Write what the checkpoint has of the model at inference, and a card of the same name.

    kind: of the values, which are rounded to it; the card has the figures of what is written.
    """
    config = ROOT / model.config
    found = load_trained(str(config), checkpoint)
    target.parent.mkdir(parents=True, exist_ok=True)
    write(found, model, target, seed, kind)
    figures = figures_of(model, read_config(str(config)), target)
    if model.example:
        shutil.copyfile(model.example, target.with_suffix(".png"))
    content = target.read_bytes()
    card = CARD.format(
        name=target.stem,
        says=model.says,
        config=model.config,
        seed=seed,
        data=model.data,
        figures=told(model, figures),
        part=model.part,
        size=round(len(content) / 1000),
        kind=str(kind).removeprefix("torch."),
        parameters=f"{sum(value.numel() for value in found.model.parameters()):,}",
        checksum=hashlib.sha256(content).hexdigest(),
        example=EXAMPLE.format(name=target.stem) if model.example else "",
        run=model.run.format(name=target.stem, config=model.config, file=target),
    )
    target.with_suffix(".md").write_text(card)


def write(found: Trained, model: Model, target: Path, seed: int, kind: torch.dtype) -> None:
    weights = {
        name: (value.to(kind) if value.is_floating_point() else value).contiguous()
        for name, value in found.model.state_dict().items()
    }
    says = dict(config=model.config, seed=seed, dataset_meta=found.dataset_meta)
    # In one entry: safetensors puts several in any order, and a checksum should stay.
    target.write_bytes(save(weights, dict(mmdcls=json.dumps(says))))


def figures_of(model: Model, cfg: Config, weights: Path) -> dict[str, float]:
    """Of the file, on the test part of its config."""
    cfg.work_dir, cfg.launcher, cfg.log_level = str(RUNS / f"{weights.stem}_test"), "none", "ERROR"
    cfg.load_from = str(weights)
    if model.task:
        demo.keep_predictions(cfg.test_evaluator, model.task, Path(cfg.work_dir))
    figures = build_runner(cfg).test()
    return demo.figures_of(model.task, Path(cfg.work_dir)) if model.task else figures


def told(model: Model, figures: Mapping[str, float]) -> str:
    if model.task:
        return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    return ", ".join(f"{name} {figures[name]:.1f} %" for name in model.shown)


if __name__ == "__main__":
    main()
