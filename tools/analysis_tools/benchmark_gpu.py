"""Time DCLS on a GPU beside its peers: steps, inference, convolutions, construction, memory.

    python tools/analysis_tools/benchmark.py --device cuda

Needs torch and Triton; times `dcls==0.1.1` and a whole UPerNet where their packages are installed.
What is worth most comes first, and every figure is appended to OUT/gpu.jsonl at once; a run that
was cut off goes on where it stopped. The backbone is a ConvNeXt-T of plain PyTorch
(benchmark_convnext.py), with 7x7 convolutions, with DCLS layers whose stages share positions, or
with the published layers. A step is the forward and the backward pass.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import benchmark_gpu_runs as runs
import torch
from benchmark_convnext import GAUSSIAN, OURS, PLAIN, PUBLISHED
from tqdm import tqdm

BFLOAT16, HALF, FLOAT = torch.bfloat16, torch.float16, torch.float32
CROP, COCO = 512, [800, 1344]
# Maps of a ConvNeXt-T at both sizes.
MAPS = dict(
    stage1=(2, 96, 128, 128),
    stage2=(2, 192, 64, 64),
    stage3=(2, 384, 32, 32),
    stage4=(2, 768, 16, 16),
)
COCO_MAPS = dict(coco1=(2, 96, 200, 336), coco3=(2, 384, 50, 84))
# Channels, cells of a side and elements of kernels.
SHARES = ((96, 17, 34), (384, 17, 34), (768, 17, 34), (384, 23, 26))
TINY, TINY_MAPS = 64, dict(tiny=(2, 3, 9, 8))


class Figures:
    """Rows of a JSON-lines file, each known by what it measures."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.until = path, time.monotonic() + seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = {json.dumps(row["of"]): row for row in map(json.loads, lines)}

    def add(self, of: dict, measure: Callable[[], dict]) -> None:
        if json.dumps(of) in self.rows:
            return
        if time.monotonic() > self.until:
            raise TimeoutError
        try:
            found = measure()
        except RuntimeError as error:
            # Such as too little memory for the largest batch; the others are worth having.
            found = dict(failed=f"{type(error).__name__}: {str(error)[:300]}")
        row = self.rows[json.dumps(of)] = dict(of=of, **found)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def environment(device: str) -> dict:
    found = dict(torch=torch.__version__, date=time.strftime("%Y-%m-%d"), workspaces="cleared")
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= dict(
            gpu=properties.name,
            capability=[properties.major, properties.minor],
            triton=version("triton"),
            cudnn=torch.backends.cudnn.version(),
        )
    return found


class Benchmark:
    """device: "cpu" is for a trial, in which everything is tiny."""

    def __init__(self, figures: Figures, device: str) -> None:
        self.figures, self.device = figures, device
        is_trial = device == "cpu"
        self.crop, self.coco = (TINY, [TINY, 2 * TINY]) if is_trial else (CROP, COCO)
        self.maps = TINY_MAPS if is_trial else MAPS
        self.coco_maps = {} if is_trial else COCO_MAPS
        figures.add(dict(figure="environment"), partial(environment, device))

    def add(self, figure: str, measure: Callable[..., dict], **of: object) -> None:
        named = {name: str(v) if isinstance(v, torch.dtype) else v for name, v in of.items()}
        self.figures.add(dict(figure=figure, **named), partial(measure, self.device, **of))

    def steps(
        self,
        kinds: list[str],
        dtype: torch.dtype = BFLOAT16,
        batch: int = 2,
        side: int | list[int] | None = None,
        **options: object,
    ) -> None:
        for kind in kinds:
            # Whether the published layers could be captured, nobody knows.
            step = partial(runs.step, as_graph=kind not in PUBLISHED)
            of = dict(kind=kind, dtype=dtype, batch=batch, side=side or self.crop)
            self.add("step", step, **of, **{"framework": False, **options})

    def convolutions(
        self,
        kernels: tuple[int, ...],
        dtype: torch.dtype = BFLOAT16,
        maps: dict[str, tuple[int, ...]] | None = None,
        ways: tuple[str, ...] = ("band", "framework"),
        **cudnn: str,
    ) -> None:
        """cudnn: "benchmark", or nothing."""
        maps = self.maps if maps is None else maps
        # The interpreter takes minutes of what a GPU does in a second.
        for kernel_size in kernels if self.device == "cuda" else (3,):
            for name, size in maps.items():
                for way, layout in (("band", "NHWC"), ("framework", "NHWC"), ("framework", "NCHW")):
                    of = dict(
                        map=name, kernel=kernel_size, dtype=str(dtype), way=way, format=layout
                    )
                    if way in ways:
                        self.convolution(of, size, dtype, cudnn)

    def convolution(self, of: dict, size: tuple, dtype: torch.dtype, cudnn: dict) -> None:
        operands = runs.operands(size, of["kernel"], dtype, of["format"], self.device)
        for computation, run in runs.RUNS[of["way"]](*operands).items():

            def measure(run: Callable = run) -> dict:
                with runs.surroundings(**cudnn)[1]:
                    return runs.timed(run, self.device)

            whole = dict(figure="convolution", **of, computation=computation, **cudnn)
            self.figures.add(whole, measure)

    def errors(self, dtypes: tuple[torch.dtype, ...]) -> None:
        for dtype in dtypes:
            for name, size in self.maps.items():
                kernel_size = 17 if self.device == "cuda" else 3
                of = dict(map=name, kernel=kernel_size, dtype=str(dtype))
                measure = partial(runs.errors, self.device, size, kernel_size, dtype)
                self.figures.add(dict(figure="errors", **of), measure)

    def inference(self) -> None:
        of = dict(dtype=BFLOAT16, batch=2, side=self.crop)
        self.add("inference", runs.inference, kind=PLAIN, form="as trained", **of)
        for form in (runs.KEPT, runs.MERGED, "as trained"):
            self.add("inference", runs.inference, kind=OURS, form=form, **of)

    def whole_model(self) -> None:
        if find_spec("mmseg") is None:
            tqdm.write("no UPerNet without mmseg")
            return
        from benchmark_upernet import iteration, step

        for kind in (PLAIN, OURS):
            of = dict(kind=kind, dtype=BFLOAT16, side=self.crop)
            self.add("upernet", step, batch=2, **of)
            for batch in (2, 4):
                for graphed in (False, True):
                    options = dict(batch=batch, graphed=graphed, **of)
                    self.add("iteration of UPerNet", iteration, **options)

    def published(self) -> None:
        if find_spec("DCLS") is None:
            tqdm.write("no published layers without dcls==0.1.1")
            return
        self.steps(PUBLISHED)

    def stages(self) -> Iterator[str]:
        """Measures one stage after another, in order of worth; yields what was done."""
        self.steps([PLAIN, OURS, GAUSSIAN])
        for kind in (OURS, GAUSSIAN):
            self.add("construction of a step", runs.all_constructions, kind=kind)
        yield "steps"
        self.convolutions((17, 7))
        self.errors((BFLOAT16, FLOAT, HALF))
        yield "convolutions"
        self.steps([PLAIN, f"{PLAIN}, NCHW"], cudnn="benchmark")
        self.steps([OURS], framework=True)
        self.published()
        yield "peers"
        self.steps([PLAIN, OURS, GAUSSIAN], batch=16)
        self.steps([PLAIN, OURS], FLOAT)
        self.steps([PLAIN, OURS], HALF)
        self.steps([PLAIN, OURS, GAUSSIAN], side=self.coco)
        self.whole_model()
        yield "other steps"
        self.inference()
        yield "inference"
        for channels, kernel_size, count in SHARES if self.device == "cuda" else SHARES[:1]:
            of = dict(channels=channels, kernel=kernel_size, count=count)
            for computation in ("values", "gradients"):
                options = dict(**of, computation=computation)
                self.add("kernel from shares", runs.kernel_from_shares, **options)
        for interpolation in ("bilinear", "gaussian"):
            for framework in (False, True):
                of = dict(kind=interpolation, framework=framework)
                measure = partial(runs.construction, self.device, interpolation, framework)
                self.figures.add(dict(figure="construction", **of), measure)
        self.convolutions((17, 7), ways=("framework",), cudnn="benchmark")
        self.convolutions((17, 7), FLOAT)
        self.convolutions((17,), HALF)
        self.convolutions((23,))
        self.convolutions((17, 23), maps=self.coco_maps)
        self.steps([PLAIN, OURS], FLOAT, batch=16)
        self.steps([PLAIN, OURS], HALF, batch=16)
        yield "the rest"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark"))
    parser.add_argument("--seconds", type=float, default=600, help="no figure starts later")
    parser.add_argument(
        "--dry", action="store_true", help="tiny, on the CPU with TRITON_INTERPRET=1, as a trial"
    )


def measured(
    doc: str, arguments: list[str] | None, stages: Callable[[Benchmark], Iterator[str]]
) -> Figures:
    """What the stages, that say what they have done, measure in the time that is given.

    doc: of the program that was called with these arguments.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    add_options(parser)
    parsed = parser.parse_args(arguments)
    torch.manual_seed(0)
    figures = Figures(parsed.out / "gpu.jsonl", parsed.seconds)
    try:
        for done in tqdm(stages(Benchmark(figures, "cpu" if parsed.dry else "cuda")), unit="stage"):
            tqdm.write(done)
    except TimeoutError:
        print(f"{parsed.seconds:.0f} seconds are over; run it again for the rest")
    return figures


def main(arguments: list[str] | None = None) -> None:
    measured(__doc__, arguments, Benchmark.stages)


if __name__ == "__main__":
    main()
