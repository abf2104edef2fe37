"""The ztunnel as an HBONE client, against a foreign server: what it says, whom it trusts, what it makes of the answers."""

import os
import re
import socket
import threading
import time

import h2.settings
import pytest

from zt_world import Authority, Server, World, spiffe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

CLIENT = {"name": "client", "namespace": "app", "serviceAccount": "client", "select": {"user": "0"}}
VIP = "240.240.0.10"
HOST = "server.app.svc.cluster.local"


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    try:
        w.a = w.host("a", "10.77.0.1")
        w.b = w.host("b", "10.77.0.2")
        w.workload("client", "app", "client", "10.77.0.1", locality={"region": "eu", "zone": "eu-1"})
        w.workload("server", "app", "server", "10.77.0.2", {f"app/{HOST}": {80: 9000}})
        w.service("server", "app", VIP, {80: 9000})
        yield w
    finally:
        w.close()


def server(world, sa="server", authority=None, **more):
    context = (authority or world.ca).context(world.folder, spiffe("app", sa), server=True)
    context.load_verify_locations(cadata=world.ca.pem)
    return Server(world.b, context, **more)


def talk(s, data=b"hello"):
    s.sendall(data)
    out = b""
    while len(out) < len(data):
        part = s.recv(65536)
        if not part:
            break
        out += part
    return out


def fails(world):
    try:
        with world.a.connect((VIP, 80), timeout=8) as s:
            return talk(s) == b""
    except ConnectionError:
        return True


def last_error(world):
    return wait_for(lambda: [x for x in world.a.access() if "error=" in x], what="error in the log")[-1]


def test_the_request_is_as_istio_writes_it(world):
    peer = server(world)
    world.a.start([CLIENT])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
        local = s.getsockname()
    assert peer.identities == [spiffe("app", "client")]
    request = peer.requests[0]
    assert list(request)[:2] == [":method", ":authority"]
    assert {k for k in request if k.startswith(":")} == {":method", ":authority"}
    assert request[":method"] == "CONNECT"
    assert request[":authority"] == "10.77.0.2:9000"
    assert request["baggage"] == (
        "k8s.cluster.name=Kubernetes,k8s.namespace.name=app,k8s.deployment.name=client,service.name=client,"
        "service.version=v1,cloud.region=eu,cloud.availability_zone=eu-1"
    )
    assert request["forwarded"] == f'for="10.77.0.1:{local[1]}";host={HOST}'
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", request["traceparent"])
    assert peer.names == [None]  # a stock peer is not sent a name


def test_an_ambit_peer_is_asked_by_name(world):
    world.state["workloads"][1]["labels"] = {"app": "server"}
    world.write()
    peer = server(world)
    world.a.start([CLIENT])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
    assert peer.names == ["server.app.cluster.local.ambit"]


def test_connections_share_one_tunnel_connection(world):
    peer = server(world)
    world.a.start([CLIENT])
    sockets = [world.a.connect((VIP, 80)) for _ in range(20)]
    for s in sockets:
        assert talk(s) == b"HELLO"
    assert len(peer.connections) <= 2  # one for each worker
    for s in sockets:
        s.close()


def test_the_limit_of_the_peer_is_kept(world):
    peer = server(world, settings={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 3})
    world.a.start([CLIENT])
    sockets = []
    for _ in range(9):
        sockets.append(world.a.connect((VIP, 80)))
        assert talk(sockets[-1]) == b"HELLO"
    assert len(peer.connections) >= 3
    assert peer.failures == []
    for s in sockets:
        s.close()


@pytest.mark.parametrize("what", ["another identity", "another root"])
def test_a_peer_that_is_not_the_destination_is_not_trusted(world, what):
    peer = (
        server(world, sa="impostor") if what == "another identity" else server(world, authority=Authority("somebody"))
    )
    world.a.start([CLIENT])
    assert fails(world)
    assert peer.requests == []
    assert "TLS handshake failed" in last_error(world)
    assert world.a.sum("istio_tcp_connections_failed_total", response_flags="TLS_FAILURE") == 1


@pytest.mark.parametrize("status", [401, 503, 404])
def test_a_refusal_is_logged_by_its_status(world, status):
    server(world, answer=lambda stream, headers: status)
    world.a.start([CLIENT])
    assert fails(world)
    assert f'error="http status: {status} ' in last_error(world)
    assert world.a.sum("istio_tcp_connections_failed_total", response_flags="CONNECT") == 1


def test_nobody_at_15008_is_a_connect_failure(world):
    world.a.start([CLIENT])
    assert fails(world)
    assert "connection failed" in last_error(world)


def test_another_endpoint_is_tried_before_giving_up(world):
    world.c = world.host("c", "10.77.0.3")
    world.workload("dead", "app", "server", "10.77.0.3", {f"app/{HOST}": {80: 9000}})
    server(world)
    world.a.start([CLIENT])
    for _ in range(12):
        with world.a.connect((VIP, 80)) as s:
            assert talk(s) == b"HELLO"


def test_each_direction_ends_by_itself(world):
    server(world)
    world.a.start([CLIENT])
    with world.a.connect((VIP, 80)) as s:
        s.sendall(b"part one ")
        s.shutdown(socket.SHUT_WR)
        data = b""
        while part := s.recv(100):
            data += part
        assert data == b"PART ONE "


def test_bulk_is_carried_whole_in_both_directions(world):
    server(world)
    world.a.start([CLIENT])
    size = 20_000_000
    with world.a.connect((VIP, 80), timeout=30) as s:
        chunk = bytes(range(97, 123)) * 1000

        def send():
            left = size
            while left:
                n = min(left, len(chunk))
                s.sendall(chunk[:n])
                left -= n
            s.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        got, bad, want = 0, 0, chunk.upper()
        while part := s.recv(1 << 20):
            at = got % len(want)
            expected = (want[at:] + want * (len(part) // len(want) + 2))[: len(part)]
            bad += part != expected
            got += len(part)
    assert (got, bad) == (size, 0)
    wait_for(lambda: world.a.sum("istio_tcp_sent_bytes_total", reporter="source") == size, what="counted")


def test_a_reset_tunnel_resets_the_client(world):
    server(world)
    world.a.start([CLIENT])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
        s.sendall(b"reset, please")
        with pytest.raises(ConnectionError):
            assert s.recv(10) != b"", "a clean end"


def test_after_goaway_streams_go_on_and_new_ones_use_another_connection(world):
    peer = server(world)
    world.a.start([CLIENT], env={"AMBIT_TEST": "1"})
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
        c, _ = peer.connections[0]
        c.close_connection(last_stream_id=1)
        peer.send()
        time.sleep(0.2)
        with world.a.connect((VIP, 80)) as other:
            assert talk(other) == b"HELLO"
        assert len(peer.connections) == 2


def test_an_expired_certificate_refuses_and_says_so(world):
    server(world)
    world.a.keep_certificate("app", "client", seconds=2)
    world.a.start([CLIENT], certificates=False)
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
    time.sleep(2.2)
    assert fails(world)
    assert "no certificate" in last_error(world)
    assert world.a.sum("istio_tcp_connections_failed_total", response_flags="IDENTITY_ERROR") == 1


def test_a_drain_lets_connections_end_in_their_time(world):
    peer = server(world)
    world.a.start([CLIENT])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
        world.a.process.send_signal(15)
        time.sleep(0.5)
        assert talk(s, b"still") == b"STILL"
        assert "redirect" not in world.a.run("nft", "list", "ruleset").stdout
    world.a.process.wait(5)
    assert world.a.run("nft", "list", "ruleset").stdout.strip() == ""
    assert world.a.process.returncode == 0
    assert peer.failures == []


def test_a_workload_that_the_mesh_does_not_know_yet_waits_for_it(world):
    world.state["workloads"] = world.state["workloads"][1:]
    world.write()
    server(world)
    world.a.start([CLIENT])
    begin = time.monotonic()
    assert fails(world)
    assert 4 < time.monotonic() - begin < 7
    wait_for(lambda: any("unknown source" in x for x in world.a.access()), what="log")
