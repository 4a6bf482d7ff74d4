"""Downloads from a server on loopback that fails in every way we know."""

import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from mmdcls.checkpoint import download
from mmdcls.checkpoint.files import read_checkpoint
from mmdcls.errors import InputError


def content_of(weights: dict) -> bytes:
    file = io.BytesIO()
    torch.save(weights, file)
    return file.getvalue()


WEIGHTS = dict(weight=torch.arange(1000.0))
CONTENT = content_of(WEIGHTS)
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """The path says what is wrong; the server counts what was asked for."""

    def log_message(self, *arguments) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        getattr(self, self.path.strip("/").partition(".")[0])(asked, len(self.server.asked))

    def send(self, code: int, content: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def good(self, asked: str | None, count: int) -> None:
        self.send(200, CONTENT)

    def breaks_once(self, asked: str | None, count: int) -> None:
        if not asked:
            self.send(200, CONTENT[:HALF], len(CONTENT), ETag='"one"')
        else:
            assert self.headers["If-Range"] == '"one"'
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            part = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.send(206, CONTENT[start:], ETag='"one"', Content_Range=part)

    def breaks_once_and_ignores_ranges(self, asked: str | None, count: int) -> None:
        length = HALF if count == 1 else len(CONTENT)
        self.send(200, CONTENT[:length], len(CONTENT), ETag='"one"')

    def breaks_once_and_has_no_version(self, asked: str | None, count: int) -> None:
        assert not asked
        self.send(200, CONTENT[: HALF if count == 1 else None], len(CONTENT))

    def sends_another_part(self, asked: str | None, count: int) -> None:
        if asked:
            part = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.send(206, CONTENT, ETag='"one"', Content_Range=part)
        else:
            self.send(200, CONTENT[: HALF if count == 1 else None], len(CONTENT), ETag='"one"')

    def always_breaks(self, asked: str | None, count: int) -> None:
        self.send(200, CONTENT[:HALF], len(CONTENT))

    def promises_more(self, asked: str | None, count: int) -> None:
        if asked:
            self.send(416, b"")
        else:
            self.send(200, CONTENT, len(CONTENT) + 10, ETag='"one"')

    def promises_less(self, asked: str | None, count: int) -> None:
        self.send(200, CONTENT[:HALF], HALF)

    def missing(self, asked: str | None, count: int) -> None:
        self.send(404, b"")

    def busy(self, asked: str | None, count: int) -> None:
        self.send(503 if count == 1 else 200, b"" if count == 1 else CONTENT)

    def page(self, asked: str | None, count: int) -> None:
        self.send(200, b"<html>log in first</html>")


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = []
    thread = threading.Thread(target=running.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def url(server: ThreadingHTTPServer, name: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{name}.pth"


def kept(folder: Path) -> list[Path]:
    """What is under a name that a later run would take; locks stay."""
    return [path for path in (folder / "checkpoints").iterdir() if path.suffix != ".lock"]


# What is asked for, in turn: a range from the middle, or all.
MIDDLE = f"bytes={HALF}-"
ARRIVES = {
    "good": [None],
    "breaks_once": [None, MIDDLE],
    "breaks_once_and_ignores_ranges": [None, MIDDLE],
    "breaks_once_and_has_no_version": [None, None],
    "sends_another_part": [None, MIDDLE, None],
    "busy": [None, None],
}
FAILS = {
    "always_breaks": ("could not be downloaded in 5 attempts", f"{HALF} of {len(CONTENT)} bytes"),
    "promises_more": ("could not be downloaded in 5 attempts",),
    "promises_less": ("only a part of a checkpoint",),
    "missing": ("answers 404",),
    "page": ("is no checkpoint of torch",),
}


def test_every_behaviour_of_the_server_is_provoked():
    behaviours = {name for name in vars(Handler) if not name.startswith(("_", "do_", "log_"))}
    assert behaviours - {"send"} == {*ARRIVES, *FAILS}


@pytest.mark.parametrize("name", ARRIVES)
def test_a_file_arrives_whole_and_is_asked_for_once(name, server, tmp_path):
    for _ in range(2):
        found = read_checkpoint(url(server, name))
        assert torch.equal(found["weight"], WEIGHTS["weight"])
    assert server.asked == ARRIVES[name]
    (file,) = kept(tmp_path)
    assert file.name.startswith(name) and file.suffix == ".pth"
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("name", FAILS)
def test_a_file_that_does_not_arrive_is_refused_and_leaves_nothing(name, server, tmp_path):
    with pytest.raises(InputError) as refused:
        read_checkpoint(url(server, name))
    sentence = str(refused.value)
    assert url(server, name) in sentence and "\n" not in sentence
    assert all(word in sentence for word in FAILS[name]), sentence
    assert kept(tmp_path) == []


def test_a_file_that_was_damaged_since_is_downloaded_anew(server, tmp_path):
    read_checkpoint(url(server, "good"))
    (file,) = kept(tmp_path)
    file.write_bytes(CONTENT[:HALF])
    read_checkpoint(url(server, "good"))
    assert file.read_bytes() == CONTENT and server.asked == [None, None]


@pytest.mark.parametrize("address", ["http://[::/ok.pth", "http://127.0.0.1:port/ok.pth"])
def test_what_is_no_url_is_refused(address, server):
    with pytest.raises(InputError) as refused:
        read_checkpoint(address)
    assert address in str(refused.value) and "\n" not in str(refused.value)


def test_passwords_in_urls_are_not_sent_and_not_repeated(server):
    with pytest.raises(InputError, match="user or a password") as refused:
        read_checkpoint("http://me:secret@127.0.0.1/good.pth")
    assert "secret" not in str(refused.value) and server.asked == []


def test_names_may_be_long_and_of_any_letters(server):
    for name in ("good" + "d" * 300, "gööd", "good ness"):
        assert len(download.name_of(url(server, name))) < 150
    with pytest.raises(InputError, match="answers 404"):
        read_checkpoint(url(server, "missing.ö ü"))


def test_progress_is_shown(server, capsys):
    read_checkpoint(url(server, "good"))
    assert "100%" in capsys.readouterr().err


def test_the_checksum_is_asked_of_downloads_and_of_what_is_there(server, tmp_path):
    right, wrong = hashlib.sha256(CONTENT).hexdigest(), "0" * 64
    address = url(server, "good")
    with pytest.raises(InputError, match=f"sha256 {right}, and not {wrong}"):
        read_checkpoint(address, wrong)
    assert kept(tmp_path) == []
    read_checkpoint(address, right.upper())
    with pytest.raises(InputError, match=f"sha256 {right}, and not {wrong}"):
        read_checkpoint(address, wrong)
    assert len(server.asked) == 2


def test_processes_that_want_a_file_at_once_download_it_once(server):
    address, found = url(server, "good"), []
    threads = [
        threading.Thread(target=lambda: found.append(read_checkpoint(address))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and server.asked == [None]


def test_nothing_listens_at_the_address(server):
    address = url(server, "good")
    server.server_close()
    with pytest.raises(InputError, match="could not be downloaded in 5 attempts: .*refused"):
        read_checkpoint(address)


def test_an_earlier_half_is_not_taken_up(server, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    address = url(server, "good")
    (folder / f".{download.name_of(address)}.part").write_bytes(b"of another day")
    assert torch.equal(read_checkpoint(address)["weight"], WEIGHTS["weight"])


def test_files_of_one_name_from_two_hosts_are_kept_apart():
    names = {download.name_of(f"https://{host}/files/a%20b.pth?download=1") for host in "xy"}
    assert len(names) == 2 and all(name.startswith("a b-") for name in names)
