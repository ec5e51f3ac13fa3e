"""A TCP proxy in front of a server that cuts a connection at a chosen moment: netem for those
who have none. Threads, no timers; each fault happens once, at the bytes it waits for.

    proxy.cut_before(b"COMMIT")   the client's bytes with these in them never reach the server
    proxy.cut_after(b"COMMIT")    they do, but the server's answer to them never comes back
    proxy.hold_after(b"COMMIT")   the same, but the connection stays open: nothing comes, for ever
"""

import contextlib
import socket
import threading


class Proxy:
    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.lock = threading.Lock()
        self.fault = None
        self.happened = threading.Event()
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_before(self, words):
        self._arm("before", words)

    def cut_after(self, words):
        self._arm("after", words)

    def hold_after(self, words):
        self._arm("hold", words)

    def disarm(self):
        """The fault that has not happened yet never does."""
        with self.lock:
            self.fault = None

    def cut_all(self):
        """Ends every connection now; new ones are taken."""
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for one in sockets:
            _shut(one)

    def _arm(self, kind, words):
        self.happened.clear()
        with self.lock:
            self.fault = (kind, words)

    def _fault_in(self, data):
        """The kind of the fault that these bytes set off, or None."""
        with self.lock:
            if self.fault and self.fault[1] in data:
                kind, self.fault = self.fault[0], None
                return kind
        return None

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(self.target)
                except OSError:
                    client.close()
                    continue
                with self.lock:
                    self.sockets += [client, server]
                mute = threading.Event()  # the server's answers are dropped from now on
                for source, sink, up in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=(source, sink, up, mute),
                                     daemon=True).start()

    def _pump(self, source, sink, up, mute):
        hold = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                kind = self._fault_in(data) if up else None
                if kind == "before":
                    self.happened.set()
                    break
                if kind:
                    mute.kind = kind
                    mute.set()
                if not up and mute.is_set():  # the answer: it was done
                    hold = mute.kind == "hold"
                    self.happened.set()
                    break
                sink.sendall(data)
        if not hold:
            _shut(source)
            _shut(sink)

    def close(self):
        _shut(self.listener)
        self.cut_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _shut(one):
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
