"""Time DCLS beside its peers on this machine.

python tools/analysis_tools/benchmark.py                    # processors, as `make bench`
python tools/analysis_tools/benchmark.py --device cuda      # a GPU; needs none of OpenMMLab

Further options are those of benchmark_cpu.py and benchmark_gpu.py; --help lists them.
"""

import argparse


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parsed, rest = parser.parse_known_args(arguments)
    if parsed.device == "cuda":
        from benchmark_gpu import main as measure
    else:
        from benchmark_cpu import main as measure
    measure(rest)


if __name__ == "__main__":
    main()
