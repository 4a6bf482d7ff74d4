"""Models on their way out: plain configs, `torch.export` and ONNX, with nothing of ours inside."""
