"""Requests that pass two ztunnels without a waypoint: recognised, counted once by each side, and untouched."""

import http.client
import http.server
import os
import socket
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest

from zt_world import World, inside, spiffe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

CLIENT = {"name": "client", "namespace": "app", "serviceAccount": "client", "select": {"user": "0"}}
SERVER = {"name": "server", "namespace": "app", "serviceAccount": "server", "select": {"user": "0"}, "ports": [{"port": 9000}]}
VIP = "240.240.0.10"
KNOWN = dict(
    source_workload="client",
    source_principal=spiffe("app", "client"),
    destination_workload="server",
    destination_principal=spiffe("app", "server"),
    destination_service="server.app.svc.cluster.local",
    connection_security_policy="mutual_tls",
    response_flags="-",
)


def make(tmp_path, **client_labels):
    w = World(tmp_path)
    w.a = w.host("a", "10.77.0.1")
    w.b = w.host("b", "10.77.0.2")
    w.workload("client", "app", "client", "10.77.0.1", labels={"app": "client", **client_labels})
    w.workload("server", "app", "server", "10.77.0.2", {"app/server.app.svc.cluster.local": {80: 9000}}, labels={"app": "server"})
    w.service("server", "app", VIP, {80: 9000})
    return w


@pytest.fixture
def world(tmp_path):
    w = make(tmp_path)
    try:
        yield w
    finally:
        w.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))) or b"hello"
        if self.path == "/slow":
            time.sleep(0.03)
        self.send_response(503 if self.path == "/bad" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *words):
        pass


def serve(world):
    with inside(world.b.netns):
        server = http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.closing.append(server.server_close)
    world.closing.append(server.shutdown)


def call(world, *requests):
    connection = http.client.HTTPConnection(VIP, 80)
    connection.sock = world.a.connect((VIP, 80))
    for method, path, body in requests:
        connection.request(method, path, body)
        answer = connection.getresponse()
        assert answer.read() == (b"" if method == "HEAD" else body or b"hello")
    connection.close()


def test_requests_of_plain_http_are_counted_on_both_sides(world):
    serve(world)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    call(world, ("GET", "/", None), ("HEAD", "/", None), ("POST", "/", b"x" * 100000), ("GET", "/slow", None), ("GET", "/bad", None))
    for host, reporter in ((world.a, "source"), (world.b, "destination")):
        known = dict(KNOWN, reporter=reporter, request_protocol="http")
        wait_for(lambda: host.sum("istio_requests_total", **known) == 5, what=f"requests at the {reporter}")
        assert host.sum("istio_requests_total", **known, response_code=200) == 4
        assert host.sum("istio_requests_total", **known, response_code=503) == 1
        assert host.sum("istio_request_duration_milliseconds_count", **known) == 5
        # One of them took 30 ms.
        assert 1 <= host.sum("istio_request_duration_milliseconds_bucket", **known, le="25.0") <= 4
        assert 30 <= host.sum("istio_request_duration_milliseconds_sum", **known) < 5000
        assert 100000 < host.sum("istio_request_bytes_sum", **known) < 102000
        assert 100000 < host.sum("istio_response_bytes_sum", **known) < 102000
        # And the connection is one.
        assert host.sum("istio_tcp_connections_opened_total", reporter=reporter, request_protocol="tcp") == 1


def test_requests_of_http2_are_counted(world):
    with inside(world.b.netns):
        listener = socket.create_server(("0.0.0.0", 9000))
    world.closing.append(listener.close)

    def answer():
        c, _ = listener.accept()
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        c.sendall(conn.data_to_send())
        while data := c.recv(65536):
            for e in conn.receive_data(data):
                if isinstance(e, h2.events.StreamEnded):
                    path = "404" if e.stream_id == 3 else "200"
                    conn.send_headers(e.stream_id, [(":status", path), ("content-type", "text/plain")])
                    conn.send_data(e.stream_id, b"hello", end_stream=True)
            c.sendall(conn.data_to_send())
        c.close()

    threading.Thread(target=answer, daemon=True).start()
    world.a.start([CLIENT])
    world.b.start([SERVER])
    with world.a.connect((VIP, 80)) as s:
        conn = h2.connection.H2Connection()
        conn.initiate_connection()
        for stream in (1, 3, 5):
            conn.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")], end_stream=True)
        s.sendall(conn.data_to_send())
        ended = 0
        while ended < 3:
            ended += sum(isinstance(e, h2.events.StreamEnded) for e in conn.receive_data(s.recv(65536)))
            s.sendall(conn.data_to_send())
    for host, reporter in ((world.a, "source"), (world.b, "destination")):
        known = dict(KNOWN, reporter=reporter, request_protocol="http2")
        wait_for(lambda: host.sum("istio_requests_total", **known) == 3, what=f"requests at the {reporter}")
        assert host.sum("istio_requests_total", **known, response_code=404) == 1


def test_what_is_not_http_is_no_request(world):
    world.b.echo(9000, greeting=b"HELLO ")
    world.a.start([CLIENT])
    world.b.start([SERVER])
    with world.a.connect((VIP, 80)) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while part := s.recv(100):
            answer += part
    assert answer == b"HELLO GET / HTTP/1.1\r\n\r\n"
    wait_for(lambda: world.b.sum("istio_tcp_connections_closed_total", reporter="destination") == 1, what="closed")
    assert world.a.sum("istio_requests_total") == world.b.sum("istio_requests_total") == 0


def test_it_can_be_switched_off(world):
    serve(world)
    world.a.start([CLIENT], ztunnel={"passiveHttp": False})
    world.b.start([SERVER])
    call(world, ("GET", "/", None))
    wait_for(lambda: world.b.sum("istio_requests_total", **KNOWN, reporter="destination") == 1, what="a request")
    assert world.a.sum("istio_requests_total") == 0


def test_what_comes_from_a_waypoint_is_left_to_it(tmp_path):
    world = make(tmp_path, **{"gateway.networking.k8s.io/gateway-name": "waypoint-server"})
    try:
        serve(world)
        world.a.start([CLIENT])
        world.b.start([SERVER])
        call(world, ("GET", "/", None))
        wait_for(lambda: world.b.sum("istio_tcp_connections_closed_total", reporter="destination") == 1, what="closed")
        assert world.a.sum("istio_requests_total") == world.b.sum("istio_requests_total") == 0
    finally:
        world.close()
