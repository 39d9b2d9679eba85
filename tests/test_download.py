"""Downloads from a server on this machine that can cut, ignore, refuse and lie."""

import hashlib
import http.server
import io
import os
import re
import socket
import sys
import threading

import pytest

from atrous.datasets import download
from atrous.datasets.download import fetch

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes: several blocks
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server's `behaviour` says and notes each request's Range."""

    timeout = 10

    def do_GET(self):
        server = self.server
        asked = self.headers["Range"]
        server.requests.append(asked)
        if server.behaviour == "missing":
            return self.send_error(404)
        if server.behaviour.startswith("to "):
            self.send_response(302)
            self.send_header("Location", server.behaviour[3:])
            return self.end_headers()
        if server.behaviour == "silent":
            server.released.wait(10)
            return None
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.behaviour != "no ranges" else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        content = CONTENT[start:] + (b"more" if server.behaviour == "too long" else b"")
        self.send_response(206 if start else 200)
        if start:
            shift = 5 if server.behaviour == "other range" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if not server.behaviour.startswith("no length"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100_000] if server.behaviour.endswith("cut") else content)
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behaviour, server.requests, server.released = "plain", [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/file.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "folder" / "file.gz"


@pytest.fixture
def part(path):
    path.parent.mkdir(parents=True)
    return path.with_name("file.gz.part")


@pytest.mark.parametrize("behaviour", ["plain", "no length", "no ranges"])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("checksum", [MD5, SHA256, MD5.upper()])
def test_whole_file(server, path, behaviour, size, checksum):
    server.behaviour = behaviour
    fetch(server.url, path, checksum, size)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.gz"]
    fetch(server.url, path, checksum, size)  # is there
    assert server.requests == [None]


def test_a_file_of_other_content_is_replaced(server, path, part):
    path.write_bytes(b"old")
    fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("behaviour", ["cut", "no length, cut"])
def test_goes_on_after_a_cut_connection(server, path, behaviour):
    server.behaviour = behaviour
    for done in (100_000, 200_000):
        with pytest.raises(
            OSError, match=f"{re.escape(server.url)}: the connection ended after {done} bytes; call again"
        ):
            fetch(server.url, path, MD5, len(CONTENT))
    assert not path.exists()
    server.behaviour = "plain"
    fetch(server.url, path, MD5, len(CONTENT))
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "content", "requests"),
    [
        ("plain", CONTENT[:70_000], ["bytes=70000-"]),
        ("no ranges", CONTENT[:70_000], ["bytes=70000-"]),  # it sends everything, which is taken
        ("plain", b"wrong", ["bytes=5-", None]),
        ("other range", CONTENT[:70_000], ["bytes=70000-", None]),
        ("plain", CONTENT, []),  # complete, but not renamed
        ("plain", b"x" * len(CONTENT), [None]),
        ("plain", CONTENT + b"x", [None]),
        ("plain", b"", [None]),
    ],
)
def test_parts(server, path, part, behaviour, content, requests):
    part.write_bytes(content)
    server.behaviour = behaviour
    fetch(server.url, path, MD5, len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert not part.exists()
    assert server.requests == requests


@pytest.mark.parametrize(
    ("content", "requests"), [(CONTENT, ["bytes=307200-"]), (CONTENT + b"x", ["bytes=307201-", None])]
)
def test_parts_of_unknown_size(server, path, part, content, requests):
    part.write_bytes(content)
    fetch(server.url, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.requests == requests


@pytest.mark.parametrize(("size", "expected"), [(None, ""), (400_000, " and 400000 bytes")])
def test_wrong_content(server, path, size, expected):
    wrong = "0" * 32
    message = f"gave 307200 bytes with checksum {MD5}; expected {wrong}{expected}. They are deleted"
    with pytest.raises(ValueError, match=message):
        fetch(server.url, path, wrong, size)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("behaviour", ["too long", "plain"])
def test_no_more_than_the_size_is_read(server, path, behaviour):
    server.behaviour = behaviour
    size = len(CONTENT) if behaviour == "too long" else 1000
    with pytest.raises(ValueError, match=f"gave {size + 1} bytes with .* expected {MD5} and {size} bytes"):
        fetch(server.url, path, MD5, size)
    assert list(path.parent.iterdir()) == []


def test_missing_file(server, path):
    server.behaviour = "missing"
    message = f"fetch: {server.url}: HTTP 404 Not Found. Try again, or download it by other means and put it at {path}"
    with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
        fetch(server.url, path, MD5)
    assert list(path.parent.iterdir()) == []


def test_refused_connection(path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file.gz"
        with pytest.raises(OSError, match=f"fetch: {url}: .*refused.*put it at {re.escape(str(path))}") as info:
            fetch(url, path, MD5)
    assert "\n" not in str(info.value)


def test_unknown_host(path, monkeypatch):
    def fail(*arguments, **others):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(OSError, match=r"fetch: http://nowhere\.invalid/x: .*Name or service not known"):
        fetch("http://nowhere.invalid/x", path, MD5)


def test_silent_server(server, path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.behaviour = "silent"
    with pytest.raises(OSError, match="timed out"):
        fetch(server.url, path, MD5)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/hostname", "/etc/hostname", "data:,hello"])
def test_other_schemes(path, url):
    with pytest.raises(ValueError, match="is no http or https address"):
        fetch(url, path, MD5)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/hostname"])
def test_redirect_to_another_scheme(server, path, target):
    server.behaviour = f"to {target}"
    with pytest.raises(OSError, match=r"fetch: http://127.*not (allowed|followed)"):
        fetch(server.url, path, MD5)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after", "followed"),
    [("http", "http", True), ("http", "https", True), ("https", "https", True), ("https", "http", False)],
)
def test_redirects_never_leave_https(before, after, followed):
    import urllib.error
    import urllib.request

    old, new = urllib.request.Request(f"{before}://a.invalid/"), f"{after}://b.invalid/"
    call = (old, io.BytesIO(), 302, "Found", {}, new)
    if followed:
        assert download._Redirects().redirect_request(*call).full_url == new
    else:
        with pytest.raises(urllib.error.URLError, match="not followed"):
            download._Redirects().redirect_request(*call)


def test_redirect(server, path):
    class Second(Handler):
        def do_GET(self):
            self.server.behaviour = "plain" if self.path == "/there" else "to /there"
            super().do_GET()

    server.RequestHandlerClass = Second
    fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT


def test_ctrl_c_leaves_a_part_that_goes_on(server, path, monkeypatch):
    blocks = download._blocks

    def interrupted(*arguments):
        source = blocks(*arguments)
        yield next(source)
        source.close()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "_blocks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, path, MD5, len(CONTENT))
    done = path.with_name("file.gz.part").stat().st_size
    assert done > 0
    fetch(server.url, path, MD5, len(CONTENT))
    assert server.requests == [None, f"bytes={done}-"]
    assert path.read_bytes() == CONTENT


def test_a_bar_on_terminals_only(server, path, monkeypatch):
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    quiet, terminal = io.StringIO(), Terminal()
    for stream in (quiet, terminal):
        monkeypatch.setattr(sys, "stderr", stream)
        fetch(server.url, path, MD5)
        path.unlink()
    assert quiet.getvalue() == ""
    assert "file.gz" in terminal.getvalue()
