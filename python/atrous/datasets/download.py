"""Files from the web, once: a part that a cut connection left is gone on with, and the checksum decides."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLOCK = 1 << 16
TIMEOUT = 30  # seconds without a byte


def fetch(url: str, path: str | os.PathLike[str], checksum: str, size: int | None = None) -> None:
    """Downloads a file unless it is there already with this checksum.

    What arrives goes to ``path.part``; after a broken connection or Ctrl-C the next call goes on from there, if the
    server can (HTTP Range), and from the start if it cannot. The file gets its name once it is complete and checked.

    Args:
        url: http or https.
        path: the file to write; missing folders are made.
        checksum: hexadecimal MD5 or SHA-256.
        size: length in bytes, if known: more is not read.
    Raises:
        OSError: no connection, an HTTP error, a server that is silent for 30 seconds, or nowhere to write.
        ValueError: the content has another checksum (it is deleted), or the URL another scheme.
    Example:
        >>> from atrous.datasets.download import fetch
        >>> with open("greeting", "w") as file:
        ...     _ = file.write("hello")
        >>> fetch("https://example.org/greeting", "greeting", "5d41402abc4b2a76b9719d911017c592")  # is there
    """
    path = Path(path)
    if url.partition("://")[0].lower() not in ("http", "https"):
        raise ValueError(f"fetch: {url} is no http or https address")
    if path.is_file() and digest(path, checksum) == checksum.lower():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    went_on = _receive(url, path, part, size)
    if went_on and digest(part, checksum) != checksum.lower():  # the earlier part was of something else
        part.unlink()
        _receive(url, path, part, size)
    found = digest(part, checksum)
    if found != checksum.lower():
        length = part.stat().st_size
        part.unlink()
        raise ValueError(
            f"fetch: {url} gave {length} bytes with checksum {found}; expected {checksum}"
            f"{'' if size is None else f' and {size} bytes'}. They are deleted"
        )
    os.replace(part, path)


def digest(path: Path, checksum: str) -> str:
    """The file's checksum of the same kind as the given one: SHA-256 if that has 64 digits, otherwise MD5."""
    total = hashlib.sha256() if len(checksum) == 64 else hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()


def _receive(url: str, path: Path, part: Path, size: int | None) -> bool:
    """Completes the part; True if it went on from bytes of an earlier call."""
    start = part.stat().st_size if part.exists() else 0
    if size is not None and start >= size:
        return True  # complete, or of another file: the checksum tells
    with _open(url, path, start) as response:
        if response is None:
            return True
        if start and response.status != 206:
            start = 0
        length = response.length  # None if the server does not say
        left = None if size is None else size + 1 - start  # one more than there should be, to notice
        with open(part, "ab" if start else "wb") as file, _bar(path.name, start, length) as advance:
            try:
                for block in _blocks(response, url, path, left):
                    file.write(block)
                    advance(len(block))
            finally:
                file.flush()
                os.fsync(file.fileno())
            received = file.tell() - start
    expected = length if length is not None else 0 if size is None else size - start
    if received < (expected if left is None else min(expected, left)):
        raise OSError(f"fetch: {url}: the connection ended after {start + received} bytes; call again to go on there")
    return start > 0


@contextlib.contextmanager
def _open(url: str, path: Path, start: int) -> Iterator[http.client.HTTPResponse | None]:
    """The answer to a request for the bytes from `start` on, or all of them; None if it gives none that go on there."""
    request = urllib.request.Request(url, headers={"User-Agent": "atrous", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            yield None
            return
        raise _failure(url, path, f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _failure(url, path, getattr(error, "reason", error)) from error
    with response:
        if response.status == 206 and not (response.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
            yield None
        else:
            yield response


def _blocks(response: http.client.HTTPResponse, url: str, path: Path, left: int | None) -> Iterator[bytes]:
    """What arrives, in blocks, up to `left` bytes."""
    while left is None or left > 0:
        try:
            block = response.read(BLOCK if left is None else min(BLOCK, left))
        except (OSError, http.client.HTTPException) as error:
            raise _failure(url, path, error) from error
        if not block:
            return
        left = None if left is None else left - len(block)
        yield block


def _failure(url: str, path: Path, why: Any) -> OSError:
    reason = " ".join(str(why).split()) or type(why).__name__
    return OSError(f"fetch: {url}: {reason}. Try again, or download it by other means and put it at {path}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Follows to https, and from http to http; the base class would go to ftp and back to http, too."""
        scheme = newurl.partition("://")[0].lower()
        if scheme not in ("https", req.type):
            fp.close()
            raise urllib.error.URLError(f"redirected to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _bar(name: str, start: int, length: int | None) -> Iterator[Callable[[int], object]]:
    """A progress bar on a terminal, if rich is installed; yields what takes the number of new bytes."""
    try:
        if not sys.stderr.isatty():
            raise ImportError
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    except ImportError:
        yield lambda count: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None if length is None else start + length, completed=start)
        yield lambda count: progress.advance(task, count)
