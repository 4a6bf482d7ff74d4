"""Train the demo's small models from their configs and a seed, as safetensors with model cards.

    python tools/publish_models.py seg det

`mmdcls predict CONFIG work_dirs/models/seg.safetensors IMAGE` takes them. A run that is finished
already is not trained anew.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import demo
import torch
from safetensors.torch import save_file

from mmdcls.checkpoint.trained import load_trained

CARD = """\
# {name}

A small model that shows what DCLS does, trained from `{config}` with seed {seed} by
`python tools/publish_models.py {name}`. It knows {classes}, on images like those it was trained
on, and is of no use elsewhere.

- **data**: left sides of ten frames of a scratch assay, from ndev-sampledata 0.0.3 (Tim Monko,
  BSD-3-Clause); labels were made by a machine. configs/demo/README.md says what is wrong with them
- **held-out sides**: {figures}
- **file**: {size} kB, {parameters} parameters in {kind}, SHA256 {checksum}
- **licence**: Apache-2.0

```bash
mmdcls predict {config} {file} IMAGE
```
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", choices=demo.TASKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/models"))
    parser.add_argument("--half", action="store_true", help="half the size, in float16")
    parsed = parser.parse_args(arguments)
    for name in parsed.models:
        work_dir = Path(f"{demo.TASKS[name]['work_dir']}_seed{parsed.seed}")
        demo.main([name, "--seed", str(parsed.seed), "--work-dir", str(work_dir)])
        figures = json.loads((work_dir / "demo.json").read_text())["figures"]
        checkpoint = (work_dir / "last_checkpoint").read_text().strip()
        config = demo.CONFIGS / demo.TASKS[name]["config"]
        target = parsed.out / f"{name}.safetensors"
        publish(config, checkpoint, target, figures, parsed.seed, parsed.half)
        print(f"{target} is written, with a card beside it")


def publish(
    config: Path,
    checkpoint: str,
    target: Path,
    figures: Mapping[str, float],
    seed: int,
    half: bool = False,
) -> None:
    """Write what the checkpoint has of the model at inference, and a card of the same name.

    half: values in float16, rounded; the figures are those of the checkpoint.
    """
    trained = load_trained(str(config), checkpoint)
    kind = torch.float16 if half else torch.float32
    weights = {
        name: (value.to(kind) if value.is_floating_point() else value).contiguous()
        for name, value in trained.model.state_dict().items()
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, target, metadata=dict(format="pt", config=config.name, seed=str(seed)))
    card = CARD.format(
        name=target.stem,
        config=config.relative_to(Path.cwd()) if config.is_relative_to(Path.cwd()) else config,
        seed=seed,
        classes=", ".join(trained.dataset_meta["classes"]),
        figures=", ".join(f"{key} {value:.3f}" for key, value in figures.items()),
        size=round(target.stat().st_size / 1000),
        parameters=sum(value.numel() for value in trained.model.parameters()),
        kind="float16" if half else "float32",
        checksum=hashlib.sha256(target.read_bytes()).hexdigest(),
        file=target,
    )
    target.with_suffix(".md").write_text(card)


if __name__ == "__main__":
    main()
