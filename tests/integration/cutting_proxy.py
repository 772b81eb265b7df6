"""A TCP proxy in front of a database that cuts connections around a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading

#: What clients send: PyMySQL as a query's text, psycopg as a simple query.
_COMMIT = b"COMMIT"


class CuttingProxy:
    """Passes on what is sent to ``port`` of 127.0.0.1, but for the COMMITs that it cuts.

    Of ``cuts`` COMMITs every second one reaches the server, whose answer is thrown away with the
    connection, and the others never arrive. Between two of them ``spare`` COMMITs get through.
    """

    def __init__(self, port: int, cuts: int, spare: int = 8) -> None:
        self._target = ("127.0.0.1", port)
        self._cuts = cuts
        self._spare = spare
        self._seen = 0
        self.done = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            with self._lock:
                self._open |= {client, server}
            cut = threading.Event()
            self._start(self._forward, client, server, cut)
            self._start(self._back, client, server, cut)

    def _forward(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if _COMMIT in data:
                    number = self._next_cut()
                    if number is not None and number % 2:
                        break
                    if number is not None:
                        cut.set()
                server.sendall(data)
        self._end(client, server)

    def _back(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if cut.is_set():
                    break  # It is committed, and the client will never know.
                client.sendall(data)
        self._end(client, server)

    def _next_cut(self) -> int | None:
        """Return the number of the cut that this COMMIT is for, None if it gets through."""
        with self._lock:
            self._seen += 1
            if self.done >= self._cuts or self._seen % (self._spare + 1):
                return None
            self.done += 1
            return self.done

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end(*self._open)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()
