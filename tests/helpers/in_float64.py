"""Imported by a config of tools/train.py: its training runs in float64."""

import torch

torch.set_default_dtype(torch.float64)
