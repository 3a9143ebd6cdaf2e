"""botocore's HTTP, going to checked addresses alone, and ended from outside at any moment.

Import this module inside functions: it brings botocore, which takes 0.3 s.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import urllib3.exceptions
from botocore.awsrequest import (
    AWSHTTPConnectionPool,
    AWSHTTPSConnectionPool,
    AWSPreparedRequest,
    AWSResponse,
)
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session

from worker.errors import WorkerError

CONNECT_S = 10.0
READ_S = 60.0
MAX_ANSWER_BYTES = 4_000_000
"""Of an answer that is no object: a list of parts or an error."""

Resolve = Callable[[str, int], list[str]]


class Session(URLLib3Session):  # type: ignore[misc] # botocore has no types
    """Sends what botocore signs. Redirects and proxies of the environment are not followed.

    Parameters
    ----------
    resolve : numeric addresses of a host that may be connected to, or an error. It is asked for
        each connection, which then goes to these addresses: a name that changes between check and
        use gains nothing.
    connections : at a time.
    """

    def __init__(self, resolve: Resolve, connections: int) -> None:
        super().__init__(timeout=(CONNECT_S, READ_S), max_pool_connections=connections)
        self.resolve = resolve
        self._lock = threading.Lock()
        self._opened: dict[_Checked, socket.socket] = {}
        self._is_closed = False
        # The dictionary that urllib3's manager looks pools up in.
        self._pool_classes_by_scheme.update(
            http=self._pool(AWSHTTPConnectionPool), https=self._pool(AWSHTTPSConnectionPool)
        )

    def _pool(self, pool: type) -> type:
        bases = (_Checked, pool.ConnectionCls)  # type: ignore[attr-defined]
        connection = type("CheckedConnection", bases, {"session": self})
        return type("CheckedPool", (pool,), {"ConnectionCls": connection})

    def opened(self, connection: "_Checked", connected: socket.socket) -> None:
        """Remember a connection; a duplicate stays valid when TLS takes the socket over."""
        self.closed(connection)
        with self._lock:
            if self._is_closed:  # a call that nobody waits for any more
                connected.close()
                raise OSError("the session is closed")
            self._opened[connection] = connected.dup()

    def closed(self, connection: "_Checked") -> None:
        """Forget a connection; nothing comes from it any more."""
        with self._lock:
            duplicate = self._opened.pop(connection, None)
        if duplicate:
            duplicate.close()

    def abort(self) -> None:
        """End all connections: who waits for one of them waits no longer."""
        with self._lock:
            for connected in self._opened.values():
                with contextlib.suppress(OSError):  # it had ended already
                    connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End what is left."""
        super().close()
        self.abort()
        with self._lock:
            self._is_closed = True
            left = list(self._opened)
        for connection in left:
            connection.close()

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send; what is not an object is read here, up to a limit.

        Raises
        ------
        HTTPClientError
            Of botocore, as its own session raises it.
        WorkerError
            The host has an address that is not allowed.
        """
        is_object, request.stream_output = request.stream_output, True
        try:
            response = super().send(request)
        except HTTPClientError as error:
            if isinstance(refusal := error.kwargs.get("error"), WorkerError):
                raise refusal from None
            raise
        if is_object and response.status_code < 300:
            return response
        try:
            content = response.raw.read(MAX_ANSWER_BYTES + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise HTTPClientError(error=error) from error
        if len(content) > MAX_ANSWER_BYTES:
            response.raw.close()
            raise HTTPClientError(error=ValueError("the answer is too long"))
        response._content = content  # noqa: SLF001 - where botocore's own `content` keeps it
        return response


class _Checked:
    """Mixed into urllib3's connections."""

    session: Session
    host: str
    port: int
    _is_answering = False

    def getresponse(self) -> Any:  # noqa: ANN401 - as urllib3 has it
        self._is_answering = True
        try:
            return super().getresponse()  # type: ignore[misc]
        finally:
            self._is_answering = False

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        # http.client closes a connection that the peer ends after its answer, and reads that yet.
        if not self._is_answering:
            self.session.closed(self)

    def _new_conn(self) -> Any:  # noqa: ANN401 - as urllib3 has it
        name = self.host
        failure: Exception = OSError("the host has no address")
        try:
            for address in self.session.resolve(name, self.port):
                self.host = address
                try:
                    connected = super()._new_conn()  # type: ignore[misc]
                except urllib3.exceptions.HTTPError as error:
                    failure = error
                else:
                    self.session.opened(self, connected)
                    return connected
        finally:
            self.host = name  # TLS and the Host header go by the name
        raise failure
