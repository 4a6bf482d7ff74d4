"""Runs that stop with a sentence and lose nothing."""
