"""One training under many settings and seeds, and what the figures of all of them say."""
