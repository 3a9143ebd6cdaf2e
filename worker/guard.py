"""What a job may reach over the network, and how its sources are named in messages.

A host is resolved once per connection, every address that it has is checked,
and the connection goes to a checked address itself, so a name that changes its
address after the check (DNS rebinding) gains nothing. TLS still verifies the
name.
"""

import ipaddress
import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from urllib.parse import quote, urlsplit

import httpcore

from worker.control import POLL_S, JobControl
from worker.errors import ForbiddenUrlError, InvalidInputError
from worker.naming import describe_source
from worker.settings import IPNetwork

logger = logging.getLogger(__name__)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443}
HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name or an address after IDNA encoding; leaves out zones (``fe80::1%eth0``)."""
URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
"""What `quote` leaves alone in a URL that may be quoted already."""

IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # RFC 6890; this and the next three are global to some Python 3.11 or 3.12
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation, RFC 9637
        "168.63.129.16/32",  # metadata of a cloud at a global address
    )
)


class Guard:
    """Decides which addresses a job may reach: public ones, and `allowed_networks`."""

    def __init__(self, allowed_networks: Iterable[IPNetwork] = ()) -> None:
        self._allowed_networks = tuple(allowed_networks)

    def allows(self, address: str) -> bool:
        """Whether a connection to this numeric address is allowed."""
        ip: IPAddress = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address):
            ip = _embedded_ipv4(ip) or ip
        return any(ip in network for network in self._allowed_networks) or _is_public(ip)

    def resolve(self, host: str, port: int) -> list[str]:
        """Numeric addresses of a host, each of them allowed.

        Raises
        ------
        ForbiddenUrlError
            At least one of the addresses is not allowed.
        OSError
            The host cannot be resolved.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        forbidden = [address for address in addresses if not self.allows(address)]
        if forbidden:
            # The addresses stay in the log: a job must not learn what a private name resolves to.
            logger.warning("refused %s, which has the address %s", host, ", ".join(forbidden))
            raise ForbiddenUrlError(
                f"The host {host!r} has a private, local or reserved address. Audio and S3 "
                "endpoints must have a public one, or one in a range that the worker's "
                "SPEECH_ALLOWED_NETWORKS names."
            )
        return addresses


def _embedded_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 host that an IPv6 address stands for; 6to4 and Teredo are refused as they are."""
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped


def _is_public(ip: IPAddress) -> bool:
    if ip.version == 6 and ip not in IPV6_UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in n for n in NOT_PUBLIC)


def parse_url(url: str) -> httpcore.URL:
    """Parse a URL once, so that what is checked is what is requested.

    Raises
    ------
    InvalidInputError
        It is not a URL.
    ForbiddenUrlError
        It is not http or https, holds credentials, or its host is not a name or an address.
    """
    shown = describe_source(url)
    malformed = InvalidInputError(
        f"{shown} is not a URL. Write https://host/path, percent-encoded."
    )
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").removesuffix(b".")
        port = parts.port
        target = quote(parts.path or "/", safe=URL_CHARACTERS)
        if parts.query:
            target += "?" + quote(parts.query, safe=URL_CHARACTERS)
    except ValueError:
        raise malformed from None  # the parser's own error quotes what it could not parse
    if parts.scheme not in PORTS:
        raise ForbiddenUrlError(f"{shown} is not a web address. Allowed are https:// and http://.")
    if not host or not url.isprintable():
        raise malformed
    if "@" in parts.netloc:
        raise ForbiddenUrlError(
            f"{shown} is given with a user name or password. Use a signed URL instead."
        )
    if not HOST.fullmatch(host):
        raise ForbiddenUrlError(f"{shown} has a host that is neither a name nor a plain address.")
    return httpcore.URL(
        scheme=parts.scheme,
        host=host,
        port=PORTS[parts.scheme] if port is None else port,
        target=target,
    )


class Deadline:
    """A point in time that all waiting together must not pass; a cancelled job does not wait on."""

    def __init__(self, seconds: float, control: JobControl) -> None:
        self._end = time.monotonic() + seconds
        self._control = control

    def remaining(self) -> float:
        """Seconds left; not positive once it has passed."""
        return self._end - time.monotonic()

    def bound(self, timeout: float | None) -> float:
        """The timeout, cut to what is left."""
        self._control.check()
        remaining = self.remaining()
        if remaining <= 0:
            raise httpcore.ReadTimeout
        return remaining if timeout is None else min(timeout, remaining)

    def wait(self, read: Callable[[float], bytes], timeout: float | None) -> bytes:
        """Call `read` with short timeouts, until it answers or the timeout or deadline is over."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return read(self.bound(max(0.001, min(POLL_S, end - time.monotonic()))))
            except httpcore.ReadTimeout:
                if time.monotonic() >= end or self.remaining() <= 0:
                    raise


class GuardedBackend(httpcore.NetworkBackend):
    """Connects httpcore to addresses that a guard allows, until a deadline."""

    def __init__(self, guard: Guard, deadline: Deadline) -> None:
        self._guard = guard
        self._deadline = deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that answers; all of them are checked."""
        try:
            addresses = self._guard.resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"the host cannot be resolved: {error}") from error
        failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError()
        for address in addresses:
            try:
                stream = self._backend.connect_tcp(
                    address, port, self._deadline.bound(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A stream that a peer cannot keep alive past the deadline by sending a byte at a time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._deadline.wait(lambda step: self._stream.read(max_bytes, step), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.bound(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.bound(timeout))
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
