"""An HTTP proxy that fails as networks and services do, by a plan, and counts what it was asked."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Plan = Callable[[str, int], str | None]
"""From the method and the number of the try (from 1) of one address to a fault, or None."""

SLOW_S = 3.0
METHODS = ("GET", "PUT", "HEAD", "DELETE", "POST")
_ERROR = "<Error><Code>{code}</Code><Message>a fault of the tests</Message></Error>"
_CODES = {429: "TooManyRequests", 403: "AccessDenied", 404: "NoSuchBucket", 400: "BadRequest"}


class FaultProxy:
    """A proxy before one server; `plan` may be changed between requests.

    Faults: a status ("503"), "slow", "reset" (before the request is passed on), "lost_answer"
    (after it was), "truncated" (half of the body, then the connection is closed).
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self.plan: Plan = lambda method, number: None
        self.asked: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.url = ""
        self.slow_s = SLOW_S

    def fault(self, method: str, path: str) -> str | None:
        """Count a request and return what goes wrong with it."""
        with self.lock:
            self.asked[method, path] += 1
            fault = self.plan(method, self.asked[method, path])
            if fault:
                self.faults[fault] += 1
            return fault

    def forget(self) -> None:
        """Count from nothing again."""
        self.asked.clear()
        self.faults.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.fault(self.command, self.path)
        if fault == "reset":
            self._reset()
        elif fault is not None and fault.isdigit():
            code = _CODES.get(int(fault), "InternalError")
            self._send(int(fault), [], b"" if self._is_head else _ERROR.format(code=code).encode())
        else:
            if fault == "slow":
                time.sleep(self.proxy.slow_s)
            status, headers, content = self._forwarded(body)
            if fault == "lost_answer":
                self._reset()
            elif fault == "truncated" and content:
                self._send(status, headers, content, sent=len(content) // 2)
            else:
                self._send(status, headers, content)

    @property
    def _is_head(self) -> bool:
        return self.command == "HEAD"

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.host, self.proxy.port, timeout=30)
        kept = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection.request(self.command, self.path, body=body, headers=kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    def _send(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        *,
        sent: int | None = None,
    ) -> None:
        try:
            self.send_response_only(status)
            left_out = {"connection", "transfer-encoding"}
            left_out |= set() if self._is_head else {"content-length"}
            for name, value in headers:
                if name.lower() not in left_out:
                    self.send_header(name, value)
            if not self._is_head:
                self.send_header("Content-Length", str(len(content)))
            elif not headers:
                self.send_header("Content-Length", "0")
            self.end_headers()
            self.wfile.write(content[:sent])
        except ConnectionError:
            self.close_connection = True
        if sent is not None:
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *args: object) -> None:
        """Say nothing of connections that were cut on purpose."""


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """Yield a running proxy before `target`, on a port of its own."""
    proxy = FaultProxy(target)
    answers = {f"do_{method}": _Handler._answer for method in METHODS}
    handler = type("Handler", (_Handler,), {"proxy": proxy, **answers})
    server = _Server(("127.0.0.1", 0), handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield proxy
    server.shutdown()
    server.server_close()
    thread.join(5)
