"""HTTP between the library and foreign peers: curl, nghttp, h2load, python's h2, and raw sockets with tricks."""

import hashlib
import os
import select
import socket
import ssl
import subprocess
import time
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
ECHO = os.environ.get("AMBIT_HTTP_ECHO", str(BUILD / "tests" / "scenario" / "http_echo"))


def pattern(size):
    block = bytes(ord("a") + i % 26 for i in range(65536))
    return (block * (size // 65536 + 1))[:size]


class Server:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            [ECHO, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        assert line.startswith("port "), line
        self.port = int(line.split()[1])

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture
def serve():
    servers = []

    def start(*options):
        servers.append(Server(*options))
        return servers[-1]

    yield start
    for server in reversed(servers):
        server.stop()


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


def curl(*words, data=None, check=True):
    done = subprocess.run(["curl", "-sS", "--max-time", "30", *map(str, words)], input=data, capture_output=True)
    if check:
        assert done.returncode == 0, done.stderr
    return done


CURL_VERSIONS = [["--http1.1"], ["--http2-prior-knowledge"], ["--http1.0"]]


@pytest.mark.parametrize("version", CURL_VERSIONS)
def test_curl_reads_and_writes_bodies(serve, version, tmp_path):
    url = f"http://127.0.0.1:{serve().port}"
    assert curl(*version, f"{url}/hello").stdout == b"hello\n"
    for size in (0, 1, 16384, 1000003):
        assert curl(*version, f"{url}/bytes/{size}").stdout == pattern(size)
        assert curl(*version, f"{url}/chunks/{size}").stdout == pattern(size)
        body = os.urandom(size)
        assert curl(*version, "--data-binary", "@-", f"{url}/echo", data=body).stdout == body
        assert curl(*version, "--data-binary", "@-", f"{url}/sink", data=body).stdout == b"%d\n" % size
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3000000))
    if version != ["--http1.0"]:
        assert curl(*version, "-T", big, "-H", "Transfer-Encoding: chunked", f"{url}/echo").stdout == big.read_bytes()
    assert curl(*version, "-I", f"{url}/bytes/5000").stdout.lower().count(b"content-length: 5000") == 1
    for status in (200, 204, 304, 404, 503):
        assert curl(*version, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/status/{status}").stdout == b"%d" % status


@pytest.mark.parametrize("version", [["--http1.1"], ["--http2"]])
def test_curl_over_tls_chooses_by_alpn(serve, version, pem):
    server = serve("--tls", *pem)
    url = f"https://localhost:{server.port}"
    out = curl(*version, "--cacert", pem[0], "-w", "%{http_version}", f"{url}/bytes/300000").stdout
    assert out == pattern(300000) + (b"2" if version == ["--http2"] else b"1.1")
    body = os.urandom(700000)
    assert curl(*version, "--cacert", pem[0], "--data-binary", "@-", f"{url}/echo", data=body).stdout == body


@pytest.mark.parametrize("version", CURL_VERSIONS[:2])
def test_early_answers_and_aborts(serve, version, tmp_path):
    url = f"http://127.0.0.1:{serve().port}"
    body = os.urandom(5000000)
    if version == ["--http1.1"]:
        done = curl(*version, "-w", "%{http_code}", "--data-binary", "@-", f"{url}/early", data=body, check=False)
        assert b"413" in done.stdout
    else:  # curl 7.88 takes RST_STREAM(NO_ERROR) behind a whole answer for a failure; nghttp does not
        (tmp_path / "body").write_bytes(body)
        done = subprocess.run(["nghttp", "-v", "-d", tmp_path / "body", f"{url}/early"], capture_output=True, timeout=30)
        assert b":status: 413" in done.stdout and b"too large" in done.stdout and b"NO_ERROR" in done.stdout
    assert curl(*version, f"{url}/abort", check=False).returncode in (18, 56, 92)
    if version == ["--http1.1"]:
        assert curl(*version, f"{url}/drain", f"{url}/hello", f"{url}/hello").stdout == b"hello\n" * 3


def test_expect_continue_with_curl(serve):
    url = f"http://127.0.0.1:{serve().port}"
    done = curl("-v", "-H", "Expect: 100-continue", "--data-binary", "@-", f"{url}/sink", data=b"x" * 2000000)
    assert b"100 Continue" in done.stderr and done.stdout == b"2000000\n"


@pytest.mark.parametrize("client", CURL_VERSIONS[:2])
@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("middle", ["h1", "h2"])
def test_proxy_in_every_combination(serve, client, upstream, middle):
    back = serve(f"--{upstream}")
    front = serve("--upstream", f"127.0.0.1:{back.port}", *(["--upstream-h2"] if upstream == "h2" else []))
    url = f"http://127.0.0.1:{front.port}/proxy"
    del middle
    for size in (0, 5, 100000, 2000003):
        body = os.urandom(size)
        assert curl(*client, f"{url}/bytes/{size}").stdout == pattern(size)
        assert curl(*client, f"{url}/chunks/{size}").stdout == pattern(size)
        assert curl(*client, "--data-binary", "@-", f"{url}/echo", data=body).stdout == body
        assert curl(*client, "--data-binary", "@-", f"{url}/sink", data=body).stdout == b"%d\n" % size
    head = curl(*client, "-H", "X-Test: 1", "-H", "Cookie: a=1", "-H", "Connection: x-hop", "-H", "X-Hop: 1", f"{url}/head")
    text = head.stdout.decode()
    assert "GET /head\n" in text and f"authority: 127.0.0.1:{front.port}\n" in text and "x-test: 1\n" in text
    assert "cookie: a=1\n" in text and "connection" not in text and (client == ["--http2-prior-knowledge"] or "x-hop" not in text)
    assert b"x-end: 1" in curl(*client, "-v", f"{url}/chunks/10").stderr.lower() + curl(*client, "-i", f"{url}/chunks/10").stdout
    assert curl(*client, "-w", "%{http_code}", "-o", "/dev/null", f"{url}/status/204").stdout == b"204"
    assert curl(*client, "-I", f"{url}/bytes/77").stdout.lower().count(b"content-length: 77") == 1
    # The head may be lost with the connection; then the proxy can still say so.
    done = curl(*client, f"{url}/abort", check=False)
    assert done.returncode in (18, 56, 92) or done.stdout == b"reset"


def test_dead_upstream_is_502(serve):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    front = serve("--upstream", f"127.0.0.1:{port}")
    out = curl("-w", "%{http_code}", f"http://127.0.0.1:{front.port}/proxy/hello").stdout
    assert out == b"refused502"


def test_nghttp_and_h2load(serve):
    server = serve()
    url = f"http://127.0.0.1:{server.port}"
    out = subprocess.run(["nghttp", "-nv", f"{url}/chunks/100000"], capture_output=True, text=True, timeout=30).stdout
    assert "x-end: 1" in out and ":status: 200" in out and "GOAWAY" in out
    for words in (["-n", "2000", "-c", "5", "-m", "20"], ["-n", "500", "-c", "5", "--h1"]):
        out = subprocess.run(["h2load", *words, f"{url}/hello"], capture_output=True, text=True, timeout=60).stdout
        assert f"{words[1]} succeeded, 0 failed, 0 errored" in out
    out = subprocess.run(["h2load", "-n", "50", "-c", "2", "-m", "10", f"{url}/bytes/1000000"], capture_output=True, text=True,
                         timeout=60).stdout  # fmt: skip
    assert "50 succeeded, 0 failed" in out


# ---- raw sockets ----


def talk(server, data, until_close=True, seconds=5.0):
    """Send, then collect what comes until the server closes or nothing comes any more."""
    with server.connect() as s:
        s.sendall(data)
        return collect(s, until_close, seconds)


def collect(s, until_close=True, seconds=5.0):
    out = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ready, _, _ = select.select([s], [], [], 0.3)
        if not ready:
            if not until_close:
                break
            continue
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return out
        if not piece:
            return out
        out += piece
    else:
        assert not until_close, f"the connection stayed open; got {out!r}"
    return out


GET = b"GET /hello HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /hello HTTP/1.1\nHost: a\n\n",
    ],
)
def test_smuggling_shapes_are_refused_and_nothing_behind_them_is_read(serve, head):
    out = talk(serve(), head + SMUGGLED)
    assert out.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
    assert out.count(b"HTTP/1.1") == 1


def test_bad_chunks_end_the_connection(serve):
    server = serve()
    for chunks in (b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX0\r\n\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"5 \r\nhello\r\n0\r\n\r\n"):
        out = talk(server, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
        assert b"404" not in out and not out.endswith(b"0\r\n\r\n")


def test_pipelined_requests_are_answered_in_order(serve):
    server = serve()
    out = talk(
        server,
        b"GET /bytes/70000 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" + GET + b"Connection: close\r\n\r\n",
    )
    first = out.index(pattern(70000)[:100])
    echo = out.index(b"3\r\nabc\r\n0\r\n\r\n")
    assert first < echo and out.endswith(b"\r\n\r\nhello\n") and out.count(b"HTTP/1.1 200 OK") == 4


def test_slow_heads_time_out(serve):
    server = serve()
    start = time.monotonic()
    with server.connect() as s:
        s.sendall(b"GET /hello HTT")
        assert b" 408 " in collect(s)
    with server.connect() as s:
        s.sendall(b"PRI * HTTP/2.0\r\n")
        assert collect(s) == b""
    with server.connect() as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + b"\0\0\5\1\4\0\0\0\1\x82")
        out = collect(s)
        assert out[-8:-4] == b"\0\0\0\x0b" or b"\x07" in out  # GOAWAY
    assert time.monotonic() - start < 20


def test_connection_that_half_closes_still_gets_its_answer(serve):
    with serve().connect() as s:
        s.sendall(GET + b"\r\n")
        s.shutdown(socket.SHUT_WR)
        assert collect(s).endswith(b"hello\n")


def test_upgrade_and_connect_are_tunnels(serve):
    server = serve()
    with server.connect() as s:
        s.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
        assert collect(s, False) == b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly"
        s.sendall(b"more")
        assert s.recv(100) == b"more"
        s.shutdown(socket.SHUT_WR)
        assert collect(s) == b""
    with server.connect() as s:
        s.sendall(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        assert collect(s, False) == b"HTTP/1.1 200 OK\r\n\r\n"
        s.sendall(b"x" * 200000)
        s.shutdown(socket.SHUT_WR)
        assert collect(s) == b"x" * 200000


# ---- python's h2 as the peer ----


class H2:
    def __init__(self, server, tls=None, window=None):
        self.sock = server.connect()
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        # No checks of our own: the tests break rules on purpose.
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=False
            )
        )
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()
        self.events = []
        self.data = {}

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def request(self, fields, end=True):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def get(self, path, *more):
        return self.request([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path), *more])

    def pump(self, until, seconds=5.0, credit=True):
        """Read events until until() holds."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"not in time; events: {self.events[-5:]}"
            ready, _, _ = select.select([self.sock], [], [], 0.2)
            if not ready:
                continue
            data = self.sock.recv(65536)
            if not data:
                self.events.append("closed")
                if until():
                    return
                raise AssertionError(f"closed; events: {self.events[-5:]}")
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.data[event.stream_id] = self.data.get(event.stream_id, b"") + event.data
                    if credit and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.flush()

    def seen(self, kind, **match):
        return [
            e for e in self.events if isinstance(e, kind) and all(getattr(e, name) == value for name, value in match.items())
        ]

    def status(self, stream):
        for event in self.seen(h2.events.ResponseReceived, stream_id=stream):
            return int(dict(event.headers)[b":status"])
        return None

    def ended(self, stream):
        return self.seen(h2.events.StreamEnded, stream_id=stream) or self.seen(h2.events.StreamReset, stream_id=stream)

    def finish(self, stream):
        self.pump(lambda: self.ended(stream))
        return self.status(stream)


def test_h2_requests_trailers_and_windows(serve):
    c = H2(serve(), window=1000)
    a, b = c.get("/bytes/50000"), c.get("/chunks/30000")
    c.pump(lambda: c.ended(a) and c.ended(b))
    assert c.data[a] == pattern(50000) and c.data[b] == pattern(30000)
    assert dict(c.seen(h2.events.TrailersReceived, stream_id=b)[0].headers)[b"x-end"] == b"1"


def test_h2_stalled_stream_does_not_hold_the_others(serve):
    c = H2(serve(), window=1000)
    stalled = c.get("/bytes/500000")
    c.pump(lambda: len(c.data.get(stalled, b"")) == 1000, credit=False)
    c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
    c.flush()
    other = c.get("/hello")
    assert c.finish(other) == 200


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "GET"), (":scheme", "http"), (":path", "/hello")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "hello")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a b")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "u@a"), (":path", "/hello")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("host", "b")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("connection", "x")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("transfer-encoding", "chunked")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("te", "gzip")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("X", "1")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("x", "a\r\nb: c")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("x", "a\0")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), ("x y", "1")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), ("x", "1"), (":path", "/hello")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), (":path", "/b")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello"), (":x", "/b")],
        [(":method", "G T"), (":scheme", "http"), (":authority", "a"), (":path", "/hello")],
        [(":method", "GET"), (":scheme", "gopher"), (":authority", "a"), (":path", "/hello")],
        [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/echo"), ("content-length", "5")],
        [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a:1"), (":path", "/")],
    ],
)
def test_h2_malformed_requests_are_refused(serve, fields):
    c = H2(serve())
    status = c.finish(c.request(fields))
    assert status is None or status == 400
    assert c.finish(c.get("/hello")) == 200  # the connection lives


def test_h2_bodies_against_their_length(serve):
    c = H2(serve())
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/sink"), ("content-length", "3")]
    for body in (b"ab", b"abcd"):
        s = c.request(head, end=False)
        c.h2.send_data(s, body, end_stream=True)
        c.flush()
        c.pump(lambda s=s: c.ended(s))
        assert c.seen(h2.events.StreamReset, stream_id=s)


def test_h2_large_heads(serve):
    c = H2(serve())
    assert c.finish(c.get("/hello", ("x", "y" * 20000))) == 431
    assert c.finish(c.get("/hello", *[(f"x{i}", "y") for i in range(300)])) == 431
    assert c.finish(c.get("/" + "y" * 10000)) == 414
    assert c.finish(c.get("/hello")) == 200
    c.get("/hello", *[(f"x{i}", "y" * 8000) for i in range(30)])
    c.pump(lambda: c.seen(h2.events.ConnectionTerminated))
    assert c.seen(h2.events.ConnectionTerminated)[0].error_code == 11


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def flood(server, piece, count=1000):
    """Send a piece again and again, reading meanwhile; the code of the GOAWAY that ends it."""
    out = b""
    with server.connect() as s:
        s.sendall(PREFACE)
        s.settimeout(2)
        try:
            for i in range(count):
                s.sendall(piece(i) if callable(piece) else piece)
                while select.select([s], [], [], 0)[0]:
                    data = s.recv(65536)
                    out += data
                    if not data:
                        break
        except OSError:
            pass
        try:
            out += collect(s)
        except OSError:
            pass
    goaway = [f for f in frames(out) if f[0] == 7]
    assert goaway, "no GOAWAY"
    return int.from_bytes(goaway[-1][3][4:8], "big")


def test_h2_reset_flood_is_cut(serve):
    head = b"\x82\x86\x41\x01a\x04\x05/hold"  # GET http a /hold

    def piece(i):
        out = b""
        for stream in range(i * 60 + 1, i * 60 + 61, 2):
            number = stream.to_bytes(4, "big")
            out += len(head).to_bytes(3, "big") + b"\1\5" + number + head + b"\0\0\4\3\0" + number + b"\0\0\0\x08"
        return out

    assert flood(serve(), piece) == 11


@pytest.mark.parametrize(
    "frame", [b"\0\0\x08\6\0\0\0\0\0" + b"x" * 8, b"\0\0\0\4\0\0\0\0\0"]
)
def test_h2_floods_of_control_frames_are_cut(serve, frame):
    assert flood(serve(), frame * 100) == 11


def test_h2_continuation_flood_is_cut(serve):
    server = serve()
    with server.connect() as s:
        s.settimeout(3)
        try:
            s.sendall(PREFACE + b"\0\0\1\1\0\0\0\0\1\x82")
            for _ in range(1000):
                s.sendall(b"\0\0\0\x09\0\0\0\0\1" * 10)
            out = collect(s)
        except OSError:
            return
    assert [f for f in frames(out) if f[0] == 7]


def test_h2_connect_tunnel_and_resets(serve):
    c = H2(serve())
    s = c.request([(":method", "CONNECT"), (":authority", "a:1")], end=False)
    c.pump(lambda: c.status(s) == 200)
    c.h2.send_data(s, b"ping")
    c.flush()
    c.pump(lambda: c.data.get(s) == b"ping")
    c.h2.send_data(s, b"", end_stream=True)
    c.flush()
    c.pump(lambda: c.ended(s))
    assert not c.seen(h2.events.StreamReset, stream_id=s)
    t = c.request([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/x"), (":authority", "a")],
                  end=False)  # fmt: skip
    c.pump(lambda: c.status(t) == 200)
    assert c.h2.remote_settings.enable_connect_protocol == 1
    # What a CANCEL leaves is an end to the echo, which ends its side; the connection lives.
    c.h2.reset_stream(t, 8)
    c.flush()
    assert c.finish(c.get("/hello")) == 200


def frames(data):
    out = []
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        out.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return out


def test_h2_graceful_goaway(serve):
    """Two GOAWAYs; a request sent between them is served; then the server ends the connection."""
    encoder = hpack.Encoder()

    def get(stream, path):
        block = encoder.encode([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)])
        return len(block).to_bytes(3, "big") + b"\1\5" + stream.to_bytes(4, "big") + block

    with serve().connect() as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + get(1, "/drain"))
        data = b""
        while not [f for f in frames(data) if f[0] == 6]:
            piece = s.recv(65536)
            assert piece, "closed before its ping"
            data += piece
        first = [f for f in frames(data) if f[0] == 7]
        assert len(first) == 1 and first[0][3] == b"\x7f\xff\xff\xff\0\0\0\0"
        ping = [f for f in frames(data) if f[0] == 6]
        s.sendall(get(3, "/hello") + b"\0\0\x08\6\1\0\0\0\0" + ping[0][3])
        rest = frames(collect(s))
        assert [f for f in rest if f[0] == 0 and f[2] == 3][0][3] == b"hello\n"
        assert [f for f in rest if f[0] == 7][0][3] == b"\0\0\0\3\0\0\0\0"


def test_h2_streams_above_the_limit_are_refused(serve):
    c = H2(serve())
    c.pump(lambda: c.seen(h2.events.SettingsAcknowledged))
    c.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    c.h2.remote_settings.acknowledge()
    for _ in range(105):
        c.get("/hold")
    # RFC 9113 5.1.2 asks for a stream error; nghttp2 takes a peer that knows the limit for broken and says GOAWAY.
    c.pump(lambda: c.seen(h2.events.StreamReset) or c.seen(h2.events.ConnectionTerminated))


def test_h2_over_tls_with_pythons_client(serve, pem):
    context = ssl.create_default_context(cafile=str(pem[0]))
    context.set_alpn_protocols(["h2"])
    c = H2(serve("--tls", *pem), tls=context)
    s = c.get("/bytes/400000")
    c.pump(lambda: c.ended(s), seconds=10)
    assert hashlib.sha256(c.data[s]).digest() == hashlib.sha256(pattern(400000)).digest()


def test_foreign_servers_behind_the_proxy(serve, tmp_path):
    """Python's http.server as the upstream: HTTP/1.0, closes after each answer."""
    (tmp_path / "f").write_bytes(pattern(200000))
    python = subprocess.Popen(
        ["/usr/bin/python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        port = int(python.stdout.readline().split(" port ")[1].split()[0])
        front = serve("--upstream", f"127.0.0.1:{port}")
        url = f"http://127.0.0.1:{front.port}/proxy"
        for version in CURL_VERSIONS:
            for _ in range(3):
                assert curl(*version, f"{url}/f").stdout == pattern(200000)
            assert curl(*version, "-w", "%{http_code}", "-o", "/dev/null", f"{url}/none").stdout == b"404"
    finally:
        python.kill()
        python.wait()
