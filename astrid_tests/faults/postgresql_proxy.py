"""A proxy before a PostgreSQL server that loses connections at a COMMIT, by a plan."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
COMMITTED = b"COMMIT\x00"

Plan = Callable[[int], str | None]
"""From the number of a COMMIT (from 1) to a fault, or None."""


class CommitProxy:
    """A proxy on 127.0.0.1; `plan` may be changed at any time.

    Faults: "before" (the connection is lost before the server gets the COMMIT), "after" (the
    server has committed, and its answer is lost).
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.{parts.port or 5432}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
        self.plan: Plan = lambda number: None
        self.n_commits = self.n_lost = 0
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                client.close()
                continue
            lost = threading.Event()
            for pump in (self._send, self._answer):
                threading.Thread(target=pump, args=(client, server, lost), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _send(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with _closing(client, server):
            while content := client.recv(65536):
                if content.endswith(COMMIT):
                    fault = self._fault()
                    if fault == "before":
                        return
                    if fault == "after":
                        lost.set()
                        server.sendall(content)
                        lost.wait()
                        client.recv(1)
                        return
                server.sendall(content)

    def _answer(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with _closing(client, server):
            while content := server.recv(65536):
                if lost.is_set() and COMMITTED in content:
                    return
                client.sendall(content)

    def _fault(self) -> str | None:
        with self._lock:
            self.n_commits += 1
            fault = self.plan(self.n_commits)
            self.n_lost += fault is not None
            return fault


@contextmanager
def _closing(*sockets: socket.socket) -> Iterator[None]:
    try:
        with contextlib.suppress(OSError):
            yield
    finally:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def commit_proxy(url: str) -> Iterator[CommitProxy]:
    """Yield a running proxy before the database of a URL."""
    proxy = CommitProxy(url)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    yield proxy
    proxy.close()
    thread.join(10)
