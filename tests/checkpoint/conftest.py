import pytest


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """The lines that `mmdcls.Pretrained` has logged."""
    lines = []
    monkeypatch.setattr(
        "mmdcls.checkpoint.pretrained.print_log", lambda text, logger: lines.append(text)
    )
    return lines
