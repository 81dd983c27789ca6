"""The page's server: standard library, loopback only."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.resources
import json
import re
import socketserver
import sys
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fdsl._checks import checked_whole
from fdsl._files import PathLike
from fdsl.explore import PORT
from fdsl.explore.choice import Choices
from fdsl.families.base import Family

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"
#: Errors that a choice on the page can cause; others are of a family in Python.
MISTAKES = (ValueError, TypeError, IndexError, OSError, MemoryError)


class Explorer:
    """Serves the page of ``fdsl explore`` until it is closed.

    Args:
        source: a family, or what ``fdsl.load`` accepts.
        port: 0 is any free port; ``None`` is 8347, or any free port if that is taken.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, source: Family | PathLike | None = None, port: int | None = None) -> None:
        self.choices = Choices(source)
        self._server = _listening(port)
        self._server.choices = self.choices

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self._server.server_port}/"

    def serve(self) -> None:
        """Answers requests until ``stop`` is called in another thread, or Ctrl-C."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Ends ``serve``."""
        self._server.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would share a port that is taken
    choices: Choices

    def server_bind(self) -> None:
        # Not HTTPServer's, which looks up the host's name, and that can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores connections that the browser dropped; prints anything else."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _listening(port: int | None) -> _Server:
    if port is None:
        with contextlib.suppress(OSError):
            return _Server((HOST, PORT), _Handler)
        port = 0
    if checked_whole("port", port) > 65_535:
        raise ValueError(f"port must be at most 65535, got {port}")
    try:
        return _Server((HOST, port), _Handler)
    except OSError as error:
        raise OSError(f"cannot listen on port {port}: {error.strerror}; try another") from None


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answers with the page, the families, or a sheet of images."""
        # A page elsewhere whose name was made to resolve to 127.0.0.1 (DNS rebinding) sends its
        # own name as the host.
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._answer_json({"error": "this host name is not served"}, HTTPStatus.FORBIDDEN)
            return
        url = urlsplit(self.path)
        if url.path == "/":
            self._answer(PAGE, "text/html; charset=utf-8")
        elif self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            self._answer_json({"error": "only this page may ask"}, HTTPStatus.FORBIDDEN)
        elif url.path == "/families":
            self._answer_json(*self._tried(self.server.choices.described))
        elif url.path == "/sheet":
            given = dict(parse_qsl(url.query, keep_blank_values=True))
            self._answer_json(*self._tried(lambda: self.server.choices.sheet(given)))
        else:
            self._answer_json({"error": "there is no such page"}, HTTPStatus.NOT_FOUND)

    def _tried(self, call: Any) -> tuple[dict[str, Any], HTTPStatus]:
        """Returns a result, or the sentence of an error."""
        try:
            return call(), HTTPStatus.OK
        except MISTAKES as mistake:
            return {"error": str(mistake) or type(mistake).__name__}, HTTPStatus.BAD_REQUEST
        except Exception as error:  # in a family in Python, whose author needs the traceback
            traceback.print_exc()
            sentence = f"{type(error).__name__}: {error} (the traceback is in the terminal)"
            return {"error": sentence}, HTTPStatus.BAD_REQUEST

    def _answer_json(self, content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._answer(json.dumps(content).encode(), "application/json", status)

    def _answer(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


def _page() -> bytes:
    page = importlib.resources.files("fdsl.explore").joinpath("page.html").read_bytes()
    # Browsers hash scripts with these line ends; a checkout on Windows may have others.
    return page.replace(b"\r\n", b"\n")


PAGE = _page()


def _hashes(tag: str) -> str:
    """Returns the hashes of the page's own scripts or styles, the only ones that may run."""
    inline = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), PAGE, re.S)
    digests = (base64.b64encode(hashlib.sha256(text).digest()).decode() for text in inline)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    f"script-src {_hashes('script')}; style-src {_hashes('style')}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
