"""Checkpoints in, in any known layout, and out."""
