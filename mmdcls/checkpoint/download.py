"""Downloads that are whole or not there."""

import hashlib
import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

import torch
from filelock import FileLock
from tqdm import tqdm

from mmdcls.errors import InputError

from .checksum import check_sha256

ATTEMPTS = 5
PAUSE = 1.0  # seconds after the first break, and twice as long after each further one
TIMEOUT = 30.0  # seconds of silence
CHUNK = 1 << 20
RESERVED = "%/:=&?~#+!$,;'@()*[]"  # letters that a URL may have, and that stay
LONGEST = 120  # letters of a name that are kept
BROKEN = (URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


def fetch(
    url: str,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    folder: Path | None = None,
) -> Path:
    """The file behind a URL, downloaded once.

    sha256: what its checksum must be, asked of a file that is there already as well.
    check: raises InputError for a file that is not whole; without a checksum it is the only guard
        against a server that closes early and says that this was all.
    folder: where files are kept; None for torch's own folder of checkpoints.

    A broken connection is taken up again where it broke, if the server can. The file gets its name
    when it is whole; processes that want it at the same time download it once. Raises InputError.
    """
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name_of(url)
    with FileLock(f"{target}.lock"):
        if target.is_file():
            check_sha256(target, sha256, target)
            remove_damaged(target, check)
        if not target.is_file():
            half = folder / f".{target.name}.part"
            try:
                download(url, half)
                check_sha256(half, sha256, url)
                if check:
                    check_download(url, half, check)
                half.replace(target)
            finally:
                half.unlink(missing_ok=True)
    return target


def remove_damaged(target: Path, check: Callable[[Path], object] | None) -> None:
    """So that it is downloaded anew."""
    if check:
        try:
            check(target)
        except InputError:
            target.unlink()


def name_of(url: str) -> str:
    """The name in the URL, which files of two hosts may have in common, and a mark of the URL."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{url} is no URL ({error}); correct it.") from error
    if "@" in parts.netloc:
        # Not repeated: sentences end up in logs.
        raise InputError(
            f"A URL of {parts.hostname} has a user or a password in it, which are not sent; "
            f"download the file yourself, and give its path."
        )
    name = Path(unquote(parts.path)).name or "checkpoint"
    stem, dot, suffix = name[-LONGEST:].partition(".")
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{dot}{suffix}"


def check_download(url: str, half: Path, check: Callable[[Path], object]) -> None:
    try:
        check(half)
    except InputError as error:
        raise InputError(str(error).replace(str(half), url)) from error


def download(url: str, half: Path) -> None:
    """Write all of a URL's content to the file; raises InputError."""
    version, reason = None, ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            version = take(url, half, version)
            return
        except HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                half.unlink(missing_ok=True)
            elif error.code < 500:
                raise InputError(f"{url} answers {error.code} {error.reason}.") from error
            reason = f"it answers {error.code} {error.reason}"
        except Interrupted as error:
            version, reason = error.version, str(error)
        except BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except ValueError as error:
            raise InputError(f"{url} is no URL ({error}); correct it.") from error
    reason = " ".join(reason.split())
    raise InputError(f"{url} could not be downloaded in {ATTEMPTS} attempts: {reason}.")


class Interrupted(Exception):
    """The connection ended before the content did; version names the content, if it has one."""

    def __init__(self, version: str | None, reason: str) -> None:
        super().__init__(reason)
        self.version = version


def take(url: str, half: Path, version: str | None) -> str | None:
    """Append what is missing, or start anew where the server gives no part of this version."""
    done = half.stat().st_size if version and half.is_file() else 0
    headers = {"User-Agent": "mmdcls", "Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    request = Request(quote(url, safe=RESERVED), headers=headers)
    with urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            done = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise Interrupted(None, "it sent another part than was asked for")
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        length = answer.headers.get("Content-Length", "")
        whole = done + int(length) if length.isdigit() else None
        with (
            open(half, "r+b" if done else "wb") as file,
            tqdm(total=whole, initial=done, unit="B", unit_scale=True, desc=name_of(url)) as bar,
        ):
            file.seek(done)
            try:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
            except BROKEN as error:
                raise Interrupted(version, f"it broke off ({error})") from error
            done = file.tell()
    if whole not in (None, done):
        raise Interrupted(version, f"it broke off after {done} of {whole} bytes")
    return version
