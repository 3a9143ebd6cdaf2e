"""What a job must not reach in any notation, and what every answer must be."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from worker.parts import serialise

FORBIDDEN_ADDRESSES = (
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",  # metadata, Alibaba
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # metadata, Azure
    "169.254.169.254",  # metadata, most clouds
    "169.254.170.2",  # metadata, ECS
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # metadata, Oracle
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # "compatible", deprecated
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # translated, SIIT
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::a00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::7f00:1",  # NAT64 of a network's own
    "100::1",
    "2001::7f00:1",  # Teredo
    "2001:0:7f00:1::",
    "2001:0:808:808:0:0:80ff:fffe",  # Teredo of 127.0.0.1 behind a public server
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:a9fe:a9fe::",
    "2002:808:808::",  # 6to4 of a public address
    "3fff::1",
    "5f00::1",  # segment routing
    "fc00::1",
    "fd00:ec2::254",  # metadata, EC2
    "fd20:ce::254",  # metadata, Google
    "fe80::1",
    "fe80::1%eth0",
    "fe80::5efe:7f00:1",  # ISATAP
    "fec0::1",
    "ff02::1",
    "ff0e::1",
)
"""Numeric addresses as Python writes them."""

FORBIDDEN_HOSTS = (
    *(f"[{address}]" if ":" in address else address for address in FORBIDDEN_ADDRESSES),
    # Loopback: short, decimal, octal, hexadecimal, mixed; with leading zeros and a dot at the end.
    *("127.0.0.1.", "127.1", "127.1.", "127.0.1", "127.8.8.8", "2130706433", "0", "00", "0x0"),
    *("0x7f000001", "0X7F000001", "0x7F.0.0.1", "0x7f.1", "0x7f.0x0.0x0.0x1", "0x0000007f000001"),
    *("017700000001", "0017700000001", "0177.0.0.1", "0177.0.0.0x1", "00000177.1", "0177.0.01"),
    *("127.0x1", "127.0.0x0.1", "127.00.00.01", "127.000000001", "127.65535", "127.0.65535"),
    # What overflows, is cut off or wraps around where it is parsed carelessly.
    *("4294967296", "6425673729", "127.0.0.257", "256.256.256.256", "127.0.0.1.0", "0x17f000001"),
    # Digits, dots and letters that IDNA makes plain ones of.
    *("①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "١٢٧.٠.٠.١"),
    *("𝟏𝟐𝟕.𝟎.𝟎.𝟏", "①②⑦｡1", "𝟘ⓧ7f.1", "²13070₆433", "127.0.0.1\u00ad", "127\u200b.0.0.1"),
    *("localhost", "localhost.", "LOCALHOST", "LocalHost", "ｌｏｃａｌｈｏｓｔ", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"),
    *("localho\u017ft", "local\u00adhost", "loc\u200dalhost", "localhost\u3002", "loca\u217chost"),
    *("ip6-localhost", "ip6-loopback", "localhost.localdomain"),
    # IPv6: written out, mapped, with a zone, in brackets that are none.
    *("[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0:1]", "[::0.0.0.1]"),
    *("[::ffff:7f00:1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::ffff:0x7f.0.0.1]"),
    *("[fe80::1%25lo]", "[fe80::1%lo]", "[::1%lo]", "[::1%25lo]", "[::1%0]", "[::1%251]"),
    *("[64:ff9b::127.0.0.1]", "[::ffff:127.1]", "[127.0.0.1]", "[localhost]", "[v1.127.0.0.1]"),
    *("::1", "[::1", "::1]", "[[::1]]", "[::1].", "[::1]localhost", "[::①]", "%5B::1%5D"),
    # Metadata services, and private networks as a number.
    *("2852039166", "0xA9FEA9FE", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.16689662"),
    *("169.254.43518", "⑯⑨.②⑤④.①⑥⑨.②⑤④", "169.254.169.254.", "[::ffff:a9fe:a9fe]"),
    *("10.1", "167772161", "012.0.0.1", "0xa000001", "172.1048577", "192.168.257", "3232235777"),
    # What comes before or after the host.
    *("public@127.0.0.1", "public:443@127.0.0.1", "a:b@c:d@127.0.0.1", "@127.0.0.1", ":@127.0.0.1"),
    *("nowhere.invalid\\@127.0.0.1", "127.0.0.1\\@nowhere.invalid", "127.0.0.1\\.nowhere.invalid"),
    *("127.0.0.1#@nowhere.invalid", "127.0.0.1?@nowhere.invalid", "127.0.0.1/@nowhere.invalid"),
    *("nowhere.invalid#@127.0.0.1", "nowhere.invalid?@127.0.0.1", "nowhere.invalid%40@127.0.0.1"),
    *(
        "127.0.0.1%2f.nowhere.invalid",
        "127.0.0.1%00.nowhere.invalid",
        "127.0.0.1%23@nowhere.invalid",
    ),
    *("nowhere.invalid%2f@127.0.0.1", "127.0.0.1%2eexample", "%31%32%37.0.0.1", "127%2e0.0.1"),
    *("127.0.0.1 nowhere.invalid", "127.0.0.1\tnowhere.invalid", "nowhere.invalid &@127.0.0.1# @x"),
    *("127.0.0.1\r\nX: y", "127.0.0.1\n", "127.0.0.1\0.nowhere.invalid", "\x00127.0.0.1"),
    *("127.0.0.1\u2028", "127.0.0.1\uff0f.nowhere.invalid", "nowhere.invalid\uff0f@127.0.0.1"),
    *("127.0.0.1:80\\@nowhere.invalid", "127.0.0.1;nowhere.invalid", "127.0.0.1,nowhere.invalid"),
    *("127..0.0.1", ".127.0.0.1", "-127.0.0.1", "+127.0.0.1", "1.0.0.721", "", ".", "..", "*"),
)
"""Hosts of a URL that denote such an address, to some parser at least."""

_TEMPLATES = (
    *("HTTP://127.0.0.1:{port}/", "hTTps://127.0.0.1:{port}/", "http:127.0.0.1:{port}/"),
    *("http:/127.0.0.1:{port}/", "http:///127.0.0.1:{port}/", "http:////127.0.0.1:{port}/"),
    *("http:\\\\127.0.0.1:{port}\\", "http:/\\127.0.0.1:{port}/", "http://\\127.0.0.1:{port}/"),
    *("//127.0.0.1:{port}/", "\\\\127.0.0.1:{port}\\", "127.0.0.1:{port}/", "localhost:{port}"),
    *(" http://127.0.0.1:{port}/", "\thttp://127.0.0.1:{port}/", "\x01http://127.0.0.1:{port}/"),
    *("ht\ntp://127.0.0.1:{port}/", "\ufeffhttp://127.0.0.1:{port}/", "ｈttp://127.0.0.1:{port}/"),
    *(
        "http://127.0.0.1:{port}/\r\nHost: nowhere.invalid",
        "http://127.0.0.1:{port}/?\r\n\r\nGET /",
    ),
    *("http://127.0.0.1:{port}%0d%0aX/", "http://127.0.0.1:0{port}/", "http://127.0.0.1:+{port}/"),
    *("http://127.0.0.1: {port}/", "http://127.0.0.1:{port}:80/", "http://127.0.0.1:80:{port}/"),
    *(
        "http://127.0.0.1:0/",
        "http://127.0.0.1:-1/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:",
    ),
    *("http://127.0.0.1:٨٠/", "http://127.0.0.1:99999999999999999999/", "http://127.0.0.1:{port}#"),
    *(
        "https+http://127.0.0.1:{port}/",
        "url:http://127.0.0.1:{port}/",
        "http+unix://%2Frun/a.sock/",
    ),
    *(
        "feed:http://127.0.0.1:{port}/",
        "view-source:http://127.0.0.1:{port}/",
        "blob:http://127.1/",
    ),
    *("gopher://127.0.0.1:{port}/_GET", "file:///etc/passwd", "file://localhost/etc/passwd"),
    *("file:/etc/passwd", "file:etc/passwd", "file://127.0.0.1:{port}/a", "FILE:///etc/passwd"),
    *("ftp://127.0.0.1:{port}/a", "ftps://127.0.0.1:{port}/a", "sftp://127.0.0.1:{port}/a"),
    *(
        "dict://127.0.0.1:{port}/d:a",
        "ldap://127.0.0.1:{port}/%0astats",
        "ldaps://127.0.0.1:{port}/",
    ),
    *("tftp://127.0.0.1:{port}/a", "telnet://127.0.0.1:{port}/", "ssh://127.0.0.1:{port}/"),
    *(
        "jar:http://127.0.0.1:{port}/a!/b",
        "netdoc:///etc/passwd",
        "php://filter/resource=/etc/passwd",
    ),
    *("expect://id", "phar:///etc/passwd", "zip:///etc/passwd", "glob:///etc/*", "javascript:1"),
    *("ws://127.0.0.1:{port}/", "wss://127.0.0.1:{port}/", "git://127.0.0.1:{port}/a", "ipfs://a"),
    *(
        "rtsp://127.0.0.1:{port}/",
        "rtmp://127.0.0.1:{port}/",
        "udp://127.0.0.1:{port}",
        "fd:",
        "fd:0",
    ),
    *("tcp://127.0.0.1:{port}", "unix:///run/a.sock", "concat:/etc/passwd|/etc/group", "pipe:0"),
    *("subfile,,start,0,end,0,,:/etc/passwd", "crypto:/etc/passwd", "cache:/etc/passwd", "tee:/a"),
    *("hls+http://127.0.0.1:{port}/", "async:file:///etc/passwd", "smb://127.0.0.1:{port}/a"),
    *("mailto:a@127.0.0.1", "imap://127.0.0.1:{port}/", "smtp://127.0.0.1:{port}/", "about:blank"),
    *("\\\\127.0.0.1\\share\\a", "C:\\a.wav", "/etc/passwd", "../../etc/passwd", "~/a", "$(id)"),
)


def forbidden_urls(port: int) -> list[str]:
    """Every notation, with the port of a listener that a mistake would reach."""
    hosts = [f"http://{host}:{port}/a.wav" for host in FORBIDDEN_HOSTS]
    return [*hosts, *(template.replace("{port}", str(port)) for template in _TEMPLATES)]


class Trap:
    """Listens on every address of this machine, and counts who came."""

    def __init__(self) -> None:
        dualstack = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dualstack else socket.AF_INET
        self._socket = socket.create_server(
            ("", 0), family=family, backlog=100, dualstack_ipv6=dualstack
        )
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def caught(self) -> int:
        """Connections since this was asked last."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._socket.accept()[0].close()
                count += 1
        return count

    def close(self) -> None:
        self._socket.close()


@contextmanager
def redirecting(places: list[str]) -> Iterator[str]:
    """URL of a server on 127.0.0.9, whose page N leads to the N-th place."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path.removeprefix("/"))
            self.send_response((301, 302, 303, 307, 308)[number % 5])
            # Header lines are bytes; this writes a place as UTF-8, line breaks and all.
            place = places[number].encode("utf-8", "surrogatepass").decode("latin-1")
            self.send_header("Location", place)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: the tests' output is no access log."""

    with ExitStack() as ending:
        server = ending.enter_context(ThreadingHTTPServer(("127.0.0.9", 0), Handler))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        ending.callback(thread.join)
        ending.callback(server.shutdown)
        yield f"http://127.0.0.9:{server.server_port}/"


def documented_codes() -> frozenset[str]:
    """Codes of docs/job-api.md, but for the one that is a defect."""
    docs = Path(__file__).parent.parent / "docs" / "job-api.md"
    errors = docs.read_text(encoding="utf-8").partition("## Errors")[2]
    return frozenset(re.findall(r"^\| `([A-Z_]+)`", errors, re.MULTILINE)) - {"INTERNAL"}


CODES = documented_codes()
MAX_ERROR = 2000


def codes(reply: Mapping[str, object], *secrets: str) -> list[str]:
    """Assert that an answer is one of the job API; the code of each error in it.

    `secrets` are texts that no message may hold.
    """
    serialise(dict(reply))  # raises for NaN and half a surrogate pair
    assert "refresh_worker" not in reply
    entries = reply.get("results", [reply])
    assert isinstance(entries, list)
    errors = [entry["error"] for entry in entries if "error" in entry]
    for error in errors:
        code, colon, message = error.partition(": ")
        assert colon, error
        assert code in CODES, error
        assert message.isprintable(), error
        assert len(message) <= MAX_ERROR, error
        assert not [word for word in ("Traceback", 'File "', *secrets) if word in message], error
    assert all("error" in e or "task" in e or e.get("ok") for e in entries), reply
    return [error.partition(":")[0] for error in errors]
