"""What is captured and what is not: modes, exclusions, families, leftovers of another life."""

import os
import socket
import subprocess

import pytest

from zt_world import World, inside, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

CLIENT = {"name": "client", "namespace": "app", "serviceAccount": "client", "select": {"user": "0"}}
SERVER = {"name": "server", "namespace": "app", "serviceAccount": "server", "select": {"user": "0"}, "ports": [{"port": 9000}]}


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    try:
        w.a = w.host("a", "10.77.0.1")
        w.b = w.host("b", "10.77.0.2")
        w.workload("client", "app", "client", "10.77.0.1")
        w.workload("server", "app", "server", "10.77.0.2", {"app/server.app.svc.cluster.local": {80: 9000}})
        w.service("server", "app", "240.240.0.10", {80: 9000})
        yield w
    finally:
        w.close()


def talk(s, data=b"hello"):
    s.sendall(data)
    out = b""
    while len(out) < len(data):
        part = s.recv(65536)
        if not part:
            break
        out += part
    return out


def opened(host, **labels):
    return host.sum("istio_tcp_connections_opened_total", reporter="source", **labels)


def call(world, address):
    with world.a.connect(address) as s:
        assert talk(s) == b"HELLO"


def outsider(world, port=7000):
    """A host that is no member of the mesh."""
    world.c = world.host("c", "10.77.0.3")
    return world.c.echo(port)


def test_mode_mesh_leaves_strangers_alone(world):
    peers = outsider(world)
    world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    with world.a.connect(("10.77.0.3", 7000)) as s:
        assert talk(s) == b"HELLO"
        assert peers[0] == s.getsockname()
    assert opened(world.a) == 0
    call(world, ("10.77.0.2", 9000))
    assert opened(world.a, connection_security_policy="mutual_tls") == 1


def test_mode_all_carries_and_counts_them(world):
    outsider(world)
    world.a.start([CLIENT], capture={"mode": "all"})
    call(world, ("10.77.0.3", 7000))
    assert opened(world.a, connection_security_policy="unknown", destination_workload="unknown") == 1


def test_mode_off_touches_nothing(world):
    world.b.echo(9000)
    world.a.start([CLIENT], capture={"mode": "off"})
    assert world.a.run("nft", "list", "ruleset").stdout.strip() == ""
    call(world, ("10.77.0.2", 9000))
    assert opened(world.a) == 0


def test_exclusions_are_kept(world):
    world.b.echo(9000)
    world.b.echo(9001)
    world.a.start([CLIENT], capture={"excludeOutboundPorts": [9001]})
    world.b.start([SERVER], capture={"excludeInboundPorts": [9001]})
    call(world, ("10.77.0.2", 9001))
    assert opened(world.a) == 0
    call(world, ("10.77.0.2", 9000))
    assert opened(world.a) == 1


def test_ssh_is_never_captured(world):
    peers = world.b.echo(22)
    world.a.start([CLIENT], capture={"mode": "all"})
    world.b.start([SERVER], capture={"mode": "all"})
    with world.a.connect(("10.77.0.2", 22)) as s:
        assert talk(s) == b"HELLO"
        assert peers[0] == s.getsockname()
    assert opened(world.a) == 0


def test_the_loopback_address_is_not_captured(world):
    world.a.echo(9000)
    world.a.start([CLIENT], capture={"mode": "all"})
    call(world, ("127.0.0.1", 9000))
    assert opened(world.a) == 0


def test_a_table_of_a_dead_ztunnel_is_replaced(world):
    world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    world.a.stop(9)
    assert "table inet ambit" in world.a.run("nft", "list", "ruleset").stdout
    world.a.start([CLIENT])
    call(world, ("240.240.0.10", 80))


def test_a_table_that_somebody_took_away_comes_back(world):
    world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    world.a.run("nft", "delete", "table", "inet", "ambit")
    wait_for(lambda: "@mesh4" in world.a.run("nft", "list", "ruleset").stdout, what="table again")
    call(world, ("240.240.0.10", 80))


def test_ipv6_is_carried_too(world):
    for h, ip in ((world.a, "fd77::1"), (world.b, "fd77::2")):
        subprocess.run(["ip", "-n", h.netns, "addr", "add", f"{ip}/64", "dev", "eth0", "nodad"], check=True)
        subprocess.run(["ip", "-n", h.netns, "route", "add", "default", "dev", "eth0", "metric", "99"], check=False, capture_output=True)
        subprocess.run(["ip", "-n", h.netns, "-6", "route", "add", "default", "dev", "eth0"], check=True)
    for w, ip in zip(world.state["workloads"], ("fd77::1", "fd77::2")):
        w["workloadIps"].append(ip)
    world.state["services"][0]["vips"].append("/fd00:240::10")
    world.write()
    with inside(world.b.netns):
        listener = socket.create_server(("::", 9000), family=socket.AF_INET6)
    world.closing.append(listener.close)
    import threading

    peers = []

    def serve():
        while True:
            try:
                c, peer = listener.accept()
            except OSError:
                return
            peers.append(peer)
            c.sendall(c.recv(100).upper())
            c.close()

    threading.Thread(target=serve, daemon=True).start()
    both = {"host": {"addresses": ["10.77.0.1", "fd77::1"]}}
    world.a.start([CLIENT], **both)
    world.b.start([SERVER], host={"addresses": ["10.77.0.2", "fd77::2"]})
    with world.a.connect(("fd00:240::10", 80)) as s:
        assert talk(s) == b"HELLO"
    assert peers[0][0] == "fd77::1"
    assert opened(world.a, connection_security_policy="mutual_tls", destination_workload="server") == 1
    line = wait_for(world.a.access, what="log")[-1]
    assert "dst.addr=[fd77::2]:15008 dst.hbone_addr=[fd77::2]:9000" in line
