def sixteen_bits(path: str) -> str | None:
    return None
