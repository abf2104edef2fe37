"""Two ztunnels, and a foreign client and server: what a connection becomes on the wire, in policy, in metrics and in the log."""

import os
import socket
import time

import h2.events
import pytest

from zt_world import TD, Authority, Tunnel, World, ids_of, spiffe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

CLIENT = {"name": "client", "namespace": "app", "serviceAccount": "client", "select": {"user": "0"}}
SERVER = {"name": "server", "namespace": "app", "serviceAccount": "server", "select": {"user": "0"}, "ports": [{"port": 9000}]}
VIP = "240.240.0.10"


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    try:
        w.a = w.host("a", "10.77.0.1")
        w.b = w.host("b", "10.77.0.2")
        w.workload("client", "app", "client", "10.77.0.1", labels={"app": "client"})
        w.workload(
            "server", "app", "server", "10.77.0.2", {"app/server.app.svc.cluster.local": {80: 9000}}, labels={"app": "server"}
        )
        w.service("server", "app", VIP, {80: 9000})
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


def gets_nothing(host, address):
    """Closed or reset, sooner or later, without a byte."""
    try:
        with host.connect(address, timeout=3) as s:
            return talk(s) == b""
    except OSError as e:
        return not isinstance(e, TimeoutError)


def test_a_call_to_a_service_is_tunnelled_counted_and_logged(world):
    peers = world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
        s.shutdown(socket.SHUT_WR)
        assert s.recv(10) == b""
    # The program saw the client's address.
    assert peers[0][0] == "10.77.0.1"
    wait_for(lambda: world.b.sum("istio_tcp_connections_closed_total", reporter="destination") == 1, what="closed at b")
    wait_for(lambda: world.a.sum("istio_tcp_connections_closed_total", reporter="source") == 1, what="closed at a")
    for host, reporter in ((world.a, "source"), (world.b, "destination")):
        known = dict(
            reporter=reporter,
            source_workload="client",
            source_principal=spiffe("app", "client"),
            destination_workload="server",
            destination_principal=spiffe("app", "server"),
            destination_service="server.app.svc.cluster.local",
            connection_security_policy="mutual_tls",
            response_flags="-",
        )
        assert host.sum("istio_tcp_connections_opened_total", **known) == 1
        assert host.sum("istio_tcp_sent_bytes_total", **known) == 5
        assert host.sum("istio_tcp_received_bytes_total", **known) == 5
        assert host.sum("istio_tcp_sockets_open", reporter=reporter) == 0
    line = wait_for(world.a.access, what="access log of a")[-1]
    for part in (
        'info\taccess\tconnection complete\t',
        "src.addr=10.77.0.1:",
        'src.workload="client" src.namespace="app" src.identity="spiffe://cluster.local/ns/app/sa/client"',
        "dst.addr=10.77.0.2:15008 dst.hbone_addr=10.77.0.2:9000",
        'dst.service="server.app.svc.cluster.local"',
        'direction="outbound" bytes_sent=5 bytes_recv=5',
    ):
        assert part in line, line
    line = wait_for(world.b.access, what="access log of b")[-1]
    assert "dst.addr=10.77.0.2:15008 dst.hbone_addr=10.77.0.2:9000" in line
    assert 'direction="inbound"' in line


def test_only_tls_on_15008_is_on_the_wire(world):
    world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s, b"a secret that nobody should see") == b"A SECRET THAT NOBODY SHOULD SEE"
        dump = world.b.dump()
        assert [c["originalDst"] for c in dump["connections"]["inbound"]] == ["10.77.0.2:15008"]
        dump = world.a.dump()
        assert dump["connections"]["outbound"][0]["protocol"] == "HBONE"
        assert dump["connections"]["outbound"][0]["actualDst"] == "10.77.0.2:15008"
    assert {c["identity"]: c["state"] for c in dump["certificates"]}[spiffe("app", "client")] == "Available"


def foreign(world, ns="app", sa="client", authority=None, sni=None):
    context = (authority or world.ca).context(world.folder, spiffe(ns, sa), server=False)
    return Tunnel(world.a, ("10.77.0.2", 15008), context, sni)


def test_a_foreign_client_gets_200_after_the_program_answered(world):
    world.b.echo(9000)
    world.b.start([SERVER])
    t = foreign(world)
    assert ids_of(t.tls) == [spiffe("app", "server")]
    assert t.tls.selected_alpn_protocol() == "h2"
    assert t.tls.version() == "TLSv1.3"
    stream, status, fields = t.connect("10.77.0.2:9000", [("baggage", "k8s.namespace.name=elsewhere"), ("forwarded", 'for="10.77.0.1:1"')])
    assert status == 200
    assert fields["baggage"].startswith("k8s.cluster.name=Kubernetes,k8s.namespace.name=app,k8s.deployment.name=server")
    t.send(stream, b"over h2", end=True)
    assert t.receive(stream, 7) == b"OVER H2"
    t.wait(h2.events.StreamEnded, stream)
    t.close()


@pytest.mark.parametrize(
    ("authority", "status"),
    [
        ("10.77.0.2:9001", 400),  # nobody's port
        ("10.77.0.3:9000", 400),  # not our address
        ("nonsense", 400),
        ("10.77.0.2:15008", 503),  # ourselves
        ("10.77.0.2:15006", 503),
        ("server.app.svc.cluster.local:80", 200),
        ("server.app.svc.cluster.local:81", 503),
        ("nobody.app.svc.cluster.local:80", 503),
    ],
)
def test_a_request_is_answered_by_its_authority(world, authority, status):
    world.b.echo(9000)
    world.b.start([SERVER])
    t = foreign(world)
    assert t.connect(authority)[1] == status
    t.close()


def test_a_dead_program_is_503_and_the_next_request_works(world):
    world.b.start([SERVER])
    t = foreign(world)
    assert t.connect("10.77.0.2:9000")[1] == 503
    world.b.echo(9000)
    assert t.connect("10.77.0.2:9000")[1] == 200
    t.close()


def test_a_denied_peer_gets_401_and_the_reason_is_logged(world):
    world.policy("no-clients", "app", "Namespace", "Deny", [[[{"principals": [{"exact": f"{TD}/ns/app/sa/client"}]}]]])
    world.b.echo(9000)
    world.b.start([SERVER])
    t = foreign(world)
    assert t.connect("10.77.0.2:9000")[1] == 401
    t.close()
    t = foreign(world, sa="other")
    assert t.connect("10.77.0.2:9000")[1] == 200
    t.close()
    line = wait_for(lambda: [x for x in world.b.access() if "error" in x], what="denial in the log")[0]
    assert "explicitly denied by: app/no-clients" in line
    assert world.b.sum("istio_tcp_connections_failed_total", response_flags="DENY") == 1


def test_an_unknown_policy_that_the_workload_names_denies(world):
    world.state["workloads"][1]["authorizationPolicies"] = ["app/not-here-yet"]
    world.write()
    world.b.echo(9000)
    world.b.start([SERVER])
    t = foreign(world)
    assert t.connect("10.77.0.2:9000")[1] == 401
    t.close()


@pytest.mark.parametrize("who", ["stranger", "other-domain", "nobody"])
def test_peers_without_our_trust_do_not_get_through_tls(world, who):
    world.b.echo(9000)
    world.b.start([SERVER])
    authority = Authority("stranger") if who == "stranger" else world.ca
    uri = spiffe("app", "client", "evil.example") if who == "other-domain" else spiffe("app", "client")
    context = authority.context(world.folder, uri, server=False)
    context.load_verify_locations(cadata=world.ca.pem)
    if who == "nobody":
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=world.ca.pem)
        context.set_alpn_protocols(["h2"])
    with pytest.raises((OSError, EOFError)):
        t = Tunnel(world.a, ("10.77.0.2", 15008), context)
        t.connect("10.77.0.2:9000")


def test_plaintext_from_outside_passes_until_policy_wants_identity(world):
    peers = world.b.echo(9000)
    world.b.start([SERVER])
    with world.a.connect(("10.77.0.2", 9000)) as s:
        assert talk(s) == b"HELLO"
    assert peers[0][0] == "10.77.0.1"
    wait_for(
        lambda: world.b.sum(
            "istio_tcp_connections_closed_total", reporter="destination", connection_security_policy="unknown"
        )
        == 1,
        what="plaintext counted",
    )


def test_strict_mtls_closes_plaintext_even_when_the_proxy_was_killed(world):
    world.policy("strict", "app", "Namespace", "Deny", [[[{"notPrincipals": [{}]}]]])
    world.b.echo(9000)
    world.b.start([SERVER])
    assert gets_nothing(world.a, ("10.77.0.2", 9000))
    world.b.stop(9)
    time.sleep(4.5)
    with pytest.raises(OSError):
        world.a.connect(("10.77.0.2", 9000), timeout=2)


def test_a_killed_proxy_does_not_strand_its_host(world):
    world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
    world.a.stop(9)
    # Right away nothing is passed around the mesh; then the rules let the host go.
    with pytest.raises(OSError):
        world.a.connect(("10.77.0.2", 9000), timeout=2)

    def passes():
        try:
            with world.a.connect(("10.77.0.2", 9000), timeout=1) as s:
                return talk(s) == b"HELLO"
        except OSError:
            return False

    wait_for(passes, 7, "host freed")


def test_a_clean_stop_leaves_no_rule(world):
    world.a.start([CLIENT])
    assert "table inet ambit" in world.a.run("nft", "list", "ruleset").stdout
    world.a.stop()
    assert world.a.process.returncode == 0, (world.a.folder / "log").read_text()
    assert world.a.run("nft", "list", "ruleset").stdout.strip() == ""
    assert "lookup 100" not in world.a.run("ip", "rule").stdout


def test_programs_that_no_workload_selects_pass_unchanged(world):
    peers = world.b.echo(9000)
    world.a.start([{**CLIENT, "select": {"user": "12345"}}])
    with world.a.connect(("10.77.0.2", 9000)) as s:
        assert talk(s) == b"HELLO"
    assert peers[0][0] == "10.77.0.1"
    assert world.a.sum("ambit_unmatched_connections_total") == 1


def test_a_wanted_waypoint_that_is_not_there_refuses(world):
    world.b.echo(9000)
    world.state["services"][0]["waypoint"] = {"destination": "app/waypoint.app.svc.cluster.local"}
    world.write()
    world.a.start([CLIENT])
    world.b.start([SERVER])
    assert gets_nothing(world.a, (VIP, 80))
    line = wait_for(world.a.access, what="log")[-1]
    assert 'error="unknown waypoint' in line


def test_direct_calls_to_our_own_ports_are_refused(world):
    world.a.start([CLIENT])
    for port in (15001, 15006):
        assert gets_nothing(world.a, ("10.77.0.1", port))


def test_one_source_port_to_two_services_is_told_apart(world):
    """The kernel gives the second of them another source port on its way to the proxy; its owner is found all the same."""
    world.service("second", "app", "240.240.0.11", {80: 9000})
    world.state["workloads"][1]["services"]["app/second.app.svc.cluster.local"] = {80: 9000}
    world.write()
    world.b.echo(9000)
    world.a.start([CLIENT])
    world.b.start([SERVER])
    from zt_world import inside

    sockets = []
    with inside(world.a.netns):
        for vip in (VIP, "240.240.0.11"):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.settimeout(5)
            s.bind(("10.77.0.1", 33333))
            s.connect((vip, 80))
            sockets.append(s)
    for s in sockets:
        assert talk(s) == b"HELLO"
        s.close()
    assert world.a.sum("ambit_unmatched_connections_total") == 0
    lines = wait_for(lambda: len(world.a.access()) == 2 and world.a.access(), what="log")
    assert all("src.addr=10.77.0.1:33333 " in x and 'src.workload="client"' in x for x in lines)


def test_a_program_without_a_workload_reaches_services_in_plain(world):
    peers = world.b.echo(9000)
    world.a.start([{**CLIENT, "select": {"user": "12345"}}])
    world.b.start([SERVER])
    with world.a.connect((VIP, 80)) as s:
        assert talk(s) == b"HELLO"
    assert peers[0][0] == "10.77.0.1"
    assert world.b.sum("istio_tcp_connections_opened_total", connection_security_policy="unknown") == 1


def closes(tls, deadline=8):
    """The peer ends the connection, by an alert, a reset or a plain end, and answers no CONNECT before."""
    tls.settimeout(deadline)
    try:
        while tls.recv(65536):
            pass
    except OSError as e:
        return not isinstance(e, TimeoutError)
    return True


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x40\x00\x00\x00\x00\x00\x00\x01half",  # a DATA frame of a stream that is none, cut
        b"\x00\x00\x30\x01\x04\x00\x00\x00\x01\x82",  # a HEADERS frame cut in its block
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # a frame larger than was allowed
        b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00",  # SETTINGS, cut
    ],
)
def test_a_truncated_frame_costs_its_own_connection_alone(world, garbage):
    world.b.echo(9000)
    world.b.start([SERVER])
    good = foreign(world)
    stream, status, _ = good.connect("10.77.0.2:9000")
    assert status == 200
    bad = foreign(world)
    bad.tls.sendall(garbage)
    bad.tls.shutdown(socket.SHUT_WR)
    assert closes(bad.tls)
    good.send(stream, b"still here")
    assert good.receive(stream, 10) == b"STILL HERE"
    good.close()


def literal(name, value):
    """An HPACK literal without index or Huffman code: a megabyte is not for Python to compress."""

    def text(b):
        n, out = len(b), b""
        if n < 127:
            return bytes([n]) + b
        n -= 127
        while n >= 128:
            out += bytes([n % 128 + 128])
            n //= 128
        return b"\x7f" + out + bytes([n]) + b

    return b"\x00" + text(name) + text(value)


def test_a_header_of_a_megabyte_is_refused_and_the_proxy_goes_on(world):
    world.b.echo(9000)
    world.b.start([SERVER])
    bad = foreign(world)
    block = literal(b":method", b"CONNECT") + literal(b":authority", b"10.77.0.2:9000") + literal(b"baggage", b"x" * 1_000_000)
    parts = [block[i : i + 16384] for i in range(0, len(block), 16384)]
    try:
        for i, part in enumerate(parts):
            kind, flags = (1 if i == 0 else 9), (4 if i == len(parts) - 1 else 0)
            bad.tls.sendall(len(part).to_bytes(3, "big") + bytes([kind, flags]) + (1).to_bytes(4, "big") + part)
        refused = closes(bad.tls)
    except OSError:
        refused = True  # cut while we were still sending
    assert refused
    good = foreign(world)
    stream, status, _ = good.connect("10.77.0.2:9000")
    assert status == 200
    good.send(stream, b"still here")
    assert good.receive(stream, 10) == b"STILL HERE"
    good.close()
