"""What streams through a waypoint: gRPC both ways, upgrades, trailers, early answers, slow peers in bounded memory."""

import os
import queue
import socket
import threading
import time
from concurrent import futures

import grpc
import pytest
from test_waypoint_http import HOST, build  # noqa: F401 (a fixture)
from waypoint_peer import Mesh, Waypoint


class Service(grpc.GenericRpcHandler):
    """Bytes in, bytes out: Unary, Count (server stream), Sum (client stream), Chat (both), Fail."""

    def service(self, details):
        def unary(request, context):
            context.set_trailing_metadata((("x-end", "yes"),))
            return b"<" + request + b">" + dict(details.invocation_metadata).get("x-word", "").encode()

        def count(request, context):
            for i in range(int(request)):
                yield b"%d" % i

        def sum_(requests, context):
            return b"%d" % sum(int(r) for r in requests)

        def chat(requests, context):
            for r in requests:
                yield r.upper()

        def fail(request, context):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more: 100%")

        kinds = {
            "/t.T/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/t.T/Count": grpc.unary_stream_rpc_method_handler(count),
            "/t.T/Sum": grpc.stream_unary_rpc_method_handler(sum_),
            "/t.T/Chat": grpc.stream_stream_rpc_method_handler(chat),
            "/t.T/Fail": grpc.unary_unary_rpc_method_handler(fail),
        }
        return kinds.get(details.method)


@pytest.fixture
def rpc(tmp_path_factory):
    """rpc(fill, **host) -> (waypoint, channel) in front of a grpcio server."""
    made = []

    def start(fill=None, **host_args):
        server = grpc.server(futures.ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers((Service(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        mesh = Mesh()
        mesh.service("shop", "web")
        mesh.endpoint("shop", "web", "web-1", port)
        host = mesh.host("shop", "web", protocol="HTTP2", **host_args)
        if fill:
            fill(host)
        mesh.add_host(host)
        w = Waypoint(tmp_path_factory.mktemp("g"), mesh, HOST)
        channel = grpc.insecure_channel(f"127.0.0.1:{w.port}")
        made.append((w, channel, server))
        return w, channel

    yield start
    for w, channel, server in made:
        channel.close()
        server.stop(None)
        w.stop()


def test_grpc_of_every_kind(rpc):
    w, channel = rpc()
    answer, call = channel.unary_unary("/t.T/Unary").with_call(b"hi", metadata=(("x-word", "w"),), timeout=10)
    assert answer == b"<hi>w" and ("x-end", "yes") in [(k, v) for k, v in call.trailing_metadata()]
    assert [int(x) for x in channel.unary_stream("/t.T/Count")(b"1000", timeout=20)] == list(range(1000))
    assert channel.stream_unary("/t.T/Sum")(iter([b"%d" % i for i in range(500)]), timeout=20) == b"%d" % sum(range(500))
    words, said = queue.Queue(), channel.stream_stream("/t.T/Chat")
    answers = said(iter(words.get, None), timeout=20)
    for word in (b"a", b"bc", b"d" * 100000):
        words.put(word)
        assert next(answers) == word.upper()
    words.put(None)
    assert list(answers) == []
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/t.T/Fail")(b"", timeout=10)
    assert e.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and e.value.details() == "no more: 100%"
    text = w.metrics()
    assert 'request_protocol="grpc",response_code="200",grpc_response_status="0"' in text
    assert 'request_protocol="grpc",response_code="200",grpc_response_status="8"' in text


def test_grpc_clients_get_our_own_answers_as_a_status(rpc):
    w, channel = rpc(policies=["shop/none"])
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/t.T/Unary")(b"x", timeout=10)
    assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED and e.value.details() == "RBAC: access denied"


def test_grpc_faults(rpc):
    def fill(host):
        r = host.ports[0].routes.add(name="f")
        r.destinations.add(namespace="shop", hostname=host.hostname)
        r.fault.abort_grpc_status = 14
        r.fault.abort_per_million = 1000000

    w, channel = rpc(fill)
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/t.T/Unary")(b"x", timeout=10)
    assert e.value.code() == grpc.StatusCode.UNAVAILABLE


class Raw:
    """A server of one connection at a time that does what a function says."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        with c:
            try:
                self.serve(c)
            except OSError:
                pass


def read_head(c):
    data = b""
    while b"\r\n\r\n" not in data:
        part = c.recv(65536)
        if not part:
            raise OSError("closed")
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


@pytest.fixture
def raw(tmp_path_factory):
    made = []

    def start(serve, fill=None, **kwargs):
        server = Raw(serve)
        mesh = Mesh()
        mesh.service("shop", "web")
        mesh.endpoint("shop", "web", "web-1", server.port)
        host = mesh.host("shop", "web")
        if fill:
            fill(host)
        mesh.add_host(host)
        w = Waypoint(tmp_path_factory.mktemp("r"), mesh, HOST, **kwargs)
        made.append((w, server))
        return w, server

    yield start
    for w, server in made:
        server.listener.close()
        w.stop()


def client(w):
    c = socket.create_connection(("127.0.0.1", w.port))
    c.settimeout(10)
    return c


def test_upgrades_become_tunnels(raw):
    def serve(c):
        head, _ = read_head(c)
        assert b"upgrade: websocket" in head.lower()
        c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
        while data := c.recv(65536):
            c.sendall(data.upper())

    w, _ = raw(serve)
    with client(w) as c:
        c.sendall(b"GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n")
        head, rest = read_head(c)
        assert head.startswith(b"HTTP/1.1 101") and b"sec-websocket-accept: x" in head.lower()
        while len(rest) < 5:
            rest += c.recv(100)
        assert rest == b"hello"
        for word in (b"one", b"two" * 30000):
            c.sendall(word)
            got = b""
            while len(got) < len(word):
                got += c.recv(65536)
            assert got == word.upper()
        c.shutdown(socket.SHUT_WR)
        assert c.recv(10) == b""


def test_an_upgrade_that_is_refused_is_an_ordinary_answer(raw):
    def serve(c):
        while True:
            read_head(c)
            c.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    w, _ = raw(serve)
    with client(w) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        head, rest = read_head(c)
        assert head.startswith(b"HTTP/1.1 403") and rest == b"no"


def test_expect_continue_is_answered(raw):
    def serve(c):
        head, rest = read_head(c)
        while len(rest) < 5:
            rest += c.recv(100)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + rest)

    w, _ = raw(serve)
    with client(w) as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        head, _ = read_head(c)
        assert head.startswith(b"HTTP/1.1 100")
        c.sendall(b"12345")
        head, rest = read_head(c)
        assert head.startswith(b"HTTP/1.1 200") and rest == b"12345"


def test_an_early_answer_ends_the_upload(raw):
    def serve(c):
        read_head(c)
        c.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        c.shutdown(socket.SHUT_WR)
        while c.recv(65536):
            pass

    w, _ = raw(serve)
    with client(w) as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100000)
        head, rest = read_head(c)
        assert head.startswith(b"HTTP/1.1 413")
    assert w.get("/")[0] == 413


def test_trailers_pass(raw):
    def serve(c):
        while True:
            read_head(c)
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n")

    w, _ = raw(serve)
    with client(w) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nTE: trailers\r\n\r\n")
        data = b""
        while b"x-sum: 7" not in data:
            part = c.recv(1000)
            assert part, data
            data += part
    assert b"abc" in data


def test_an_answer_that_is_cut_does_not_look_whole(raw):
    def serve(c):
        read_head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")

    w, _ = raw(serve)
    status, _, body = w.get("/")
    assert status == 200 and body == b"part" and w.curl_code != 0
    w.get("/", "--http2-prior-knowledge")
    assert w.curl_code != 0


def test_a_slow_reader_holds_the_sender_and_not_our_memory(raw):
    sent = []

    def serve(c):
        read_head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        block = b"x" * 65536
        for _ in range(3000):
            c.sendall(block)
            sent.append(len(block))

    w, _ = raw(serve)

    def rss():
        return int(open(f"/proc/{w.process.pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = rss()
    with client(w) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        read_head(c)
        time.sleep(1.5)
        held = sum(sent)
        time.sleep(0.5)
        assert sum(sent) == held < 60000000  # it stands still; what was taken lies in the kernel's buffers
        assert rss() - before < 8000000
    with client(w) as c:  # and the other way: a server that does not read
        pass


def test_a_client_that_goes_away_ends_the_request_upstream(raw):
    ended = threading.Event()

    def serve(c):
        read_head(c)
        try:
            while c.recv(100):
                pass
        finally:
            ended.set()

    w, _ = raw(serve)
    # On HTTP/1 the end of a client's direction may be a half-close, and is waited for.
    w.get("/", "--http2-prior-knowledge", timeout=0.4)
    assert ended.wait(5)
    time.sleep(0.1)
    assert '" 0 DC downstream_remote_disconnect' in w.log.read_text()


def test_pipelined_requests_are_answered_in_order(raw):
    def serve(c):
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                part = c.recv(65536)
                if not part:
                    return
                rest += part
            head, _, rest = rest.partition(b"\r\n\r\n")
            path = head.split()[1]
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    w, _ = raw(serve)
    with client(w) as c:
        c.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: web\r\n\r\n" % i for i in range(50)))
        data = b""
        while b"/49" not in data:
            data += c.recv(65536)
        at = [data.index(b"/%d" % i) for i in range(10, 50)]
        assert at == sorted(at)
