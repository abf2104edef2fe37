"""The waypoint in the mesh: tunnels from a foreign client, tunnels to a foreign ztunnel, identities checked both ways."""

import json
import os
import re
import socket
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest
from waypoint_peer import AMBIT, ROLES, Echo, Mesh, waypoint_pb2 as pb
from zt_world import TD, Authority, Host, Tunnel, World, ids_of, inside, spiffe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
VIP = "240.240.0.1"
HOST = "shop/web.shop.svc.cluster.local"


class WaypointHost(Host):
    """A host that runs a waypoint from a file and a kept certificate."""

    def begin(self, mesh, gateway="shop/wp", workers=2):
        self.keep(gateway)
        (self.folder / "local.json").write_text(json.dumps({"resources": mesh.resources}))
        doc = {
            "apiVersion": "ambit.mesh/v1alpha1",
            "kind": "Appliance",
            "metadata": {"name": self.name},
            "spec": {
                "roles": ["waypoint"],
                "runDir": str(self.folder / "run"),
                "stateDir": str(self.folder / "state"),
                "workers": workers,
                "host": {"addresses": [self.ip]},
                "waypoint": {
                    "gateway": gateway,
                    "accessLog": str(self.folder / "access.log"),
                    "localConfig": str(self.folder / "local.json"),
                },
            },
        }
        path = self.folder / "ambit.yaml"
        path.write_text(json.dumps(doc))
        self.log = open(self.folder / "log", "a")
        self.process = self.popen(AMBIT, "run", "-c", path, "--role-dir", ROLES, stdout=self.log, stderr=self.log)
        wait_for(self.is_ready, what="waypoint ready: " + (self.folder / "log").read_text())

    def keep(self, gateway):
        ns, name = gateway.split("/")
        key, cert = self.world.ca.issue(spiffe(ns, name))
        folder = self.folder / "state" / "waypoint" / "identities"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.{ns}.{TD}.ambit.pem").write_text(
            f"# ambit: key\n{key}\n# ambit: chain\n{cert}\n# ambit: roots\n{self.world.ca.pem}"
        )


class Ztunnel:
    """A foreign HBONE server: one thread a connection, python3-h2 on Python's ssl; relays tunnels to a local port."""

    def __init__(self, host, ca, uri):
        self.host, self.seen, self.refuse = host, [], None
        self.context = ca.context(host.folder, uri, True)
        with inside(host.netns):
            self.listener = socket.create_server(("0.0.0.0", 15008))
        host.world.closing.append(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        try:
            tls = self.context.wrap_socket(raw, server_side=True)
        except OSError:
            return
        peer = ids_of(tls)
        h = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        h.initiate_connection()
        lock, backs = threading.Lock(), {}
        tls.sendall(h.data_to_send())

        def pump_back(stream, back):
            while True:
                data = back.recv(16000)
                with lock:
                    if data:
                        h.send_data(stream, data)
                    else:
                        h.end_stream(stream)
                    tls.sendall(h.data_to_send())
                if not data:
                    return

        while True:
            try:
                data = tls.recv(65536)
            except OSError:
                return
            if not data:
                return
            with lock:
                for e in h.receive_data(data):
                    if isinstance(e, h2.events.RequestReceived):
                        fields = dict(e.headers)
                        self.seen.append({"peer": peer, **fields})
                        if self.refuse:
                            h.send_headers(e.stream_id, [(":status", str(self.refuse))], end_stream=True)
                            continue
                        port = int(fields[":authority"].rsplit(":", 1)[1])
                        with inside(self.host.netns):
                            backs[e.stream_id] = socket.create_connection(("127.0.0.1", port))
                        h.send_headers(e.stream_id, [(":status", "200")])
                        threading.Thread(target=pump_back, args=(e.stream_id, backs[e.stream_id]), daemon=True).start()
                    elif isinstance(e, h2.events.DataReceived):
                        backs[e.stream_id].sendall(e.data)
                        h.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                    elif isinstance(e, h2.events.StreamEnded) and e.stream_id in backs:
                        backs[e.stream_id].shutdown(socket.SHUT_WR)
                tls.sendall(h.data_to_send())


class Capitals:
    """A server of no HTTP."""

    def __init__(self, name, address):
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            c, _ = self.listener.accept()
            with c:
                while data := c.recv(65536):
                    c.sendall(data.upper())


class Fixture:
    def __init__(self, world, protocol="HTTP", policies=(), lua=(), mesh=None, server="web", fill=None, echo=Echo):
        self.world = world
        self.client = world.host("client", "10.9.0.1")
        self.server = world.host("server", "10.9.0.3")
        world.hosts["wp"] = self.wp = WaypointHost(world, "wp", "10.9.0.2")
        world.ip("netns", "add", self.wp.netns)
        for words in (
            ("link", "add", "eth0", "type", "veth", "peer", "name", "vwp", "netns", world.bridge),
            ("addr", "add", "10.9.0.2/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            world.ip("-n", self.wp.netns, *words)
        world.ip("-n", world.bridge, "link", "set", "vwp", "master", "sw", "up")
        with inside(self.server.netns):
            self.echo = echo("v1", "0.0.0.0")
        self.ztunnel = Ztunnel(self.server, world.ca, spiffe("shop", server))
        mesh = mesh or Mesh()
        mesh.service("shop", "web", vip=VIP)
        mesh.endpoint("shop", "web", "web-1", self.echo.port, ip="10.9.0.3", hbone=True)
        mesh.endpoint("apps", "caller", "caller-1", 1, ip="10.9.0.1", hbone=True)
        host = mesh.host("shop", "web", protocol=protocol, policies=policies, lua=lua)
        if fill:
            fill(host)
        mesh.add_host(host)
        self.wp.begin(mesh)

    def tunnel(self, sa="caller", ca=None, ns="apps"):
        context = (ca or self.world.ca).context(self.client.folder, spiffe(ns, sa), False)
        return Tunnel(self.client, ("10.9.0.2", 15008), context)

    def get(self, tunnel, path="/", authority=f"{VIP}:80", extra=""):
        """(status, body) of one HTTP/1.1 request in a tunnel of its own."""
        stream, status, _ = tunnel.connect(authority)
        assert status == 200, status
        tunnel.send(stream, f"GET {path} HTTP/1.1\r\nhost: web\r\n{extra}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += tunnel.wait(h2.events.DataReceived, stream).data
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(re.search(rb"content-length: (\d+)", head, re.I)[1])
        while len(body) < size:
            body += tunnel.wait(h2.events.DataReceived, stream).data
        return int(head.split()[1]), body


@pytest.fixture
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("wp"))
    yield w
    w.close()
    for h in w.hosts.values():
        assert h.process is None or h.process.returncode == 0, (h.folder / "log").read_text()


def test_a_request_goes_through_two_tunnels(world):
    f = Fixture(world)
    t = f.tunnel()
    assert ids_of(t.tls) == [spiffe("shop", "wp")]
    status, body = f.get(t, "/a/../b")
    asked = json.loads(body)
    assert status == 200 and asked["path"] == "/b" and asked["headers"]["host"] == "web"
    seen = f.ztunnel.seen[0]
    assert seen[":method"] == "CONNECT" and seen[":authority"] == f"10.9.0.3:{f.echo.port}"
    assert seen["peer"] == [spiffe("shop", "wp")] and seen["x-istio-source"] == "waypoint"
    assert "host=web.shop.svc.cluster.local" in seen["forwarded"]
    # A request of another client connection shares the pooled tunnel, once the one before has let go of it.
    requests = 1

    def shares_the_tunnel():
        nonlocal requests
        before = len(f.ztunnel.seen)
        requests += 1
        assert f.get(f.tunnel())[0] == 200
        return len(f.ztunnel.seen) == before

    assert any(shares_the_tunnel() for _ in range(4))
    wait_for(lambda: f.wp.sum("istio_requests_total", source_principal=spiffe("apps", "caller"), source_workload="caller-1",
                              connection_security_policy="mutual_tls", response_code="200") == requests, what="metrics")
    assert '"10.9.0.3:' in (f.wp.folder / "access.log").read_text()


def test_http2_inside_the_tunnel(world):
    f = Fixture(world)
    t = f.tunnel()
    stream, status, _ = t.connect(f"{VIP}:80")
    inner = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    inner.initiate_connection()
    inner.send_headers(1, [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/x")], end_stream=True)
    t.send(stream, inner.data_to_send())
    status, body = None, b""
    while True:
        events = inner.receive_data(t.wait(h2.events.DataReceived, stream).data)
        for e in events:
            if isinstance(e, h2.events.ResponseReceived):
                status = dict(e.headers)[":status"]
            elif isinstance(e, h2.events.DataReceived):
                body += e.data
        if any(isinstance(e, h2.events.StreamEnded) for e in events):
            break
    assert status == "200" and json.loads(body)["path"] == "/x"


def test_what_is_not_served_here_is_refused(world):
    f = Fixture(world)
    t = f.tunnel()
    for authority, want in ((f"{VIP}:81", 404), ("240.240.0.9:80", 404), ("10.9.0.2:80", 404), ("nonsense", 400), ("1.2.3.4:0", 400)):
        assert t.connect(authority)[1] in (want, 400 if want == 400 else want), authority
    assert f.get(t)[0] == 200
    assert f.get(t, authority="web.shop.svc.cluster.local:80")[0] == 200
    # The workload by its own address: the host's policies, and that workload.
    assert f.get(t, authority=f"10.9.0.3:{f.echo.port}")[0] == 200


def test_strangers_are_refused_by_tls(world):
    f = Fixture(world)
    with pytest.raises((OSError, EOFError)):
        t = f.tunnel(ca=Authority("other root"))
        t.connect(f"{VIP}:80")
    context = world.ca.context(f.client.folder, "spiffe://other.domain/ns/apps/sa/caller", False)
    with pytest.raises((OSError, EOFError)):
        Tunnel(f.client, ("10.9.0.2", 15008), context).connect(f"{VIP}:80")
    assert f.get(f.tunnel())[0] == 200


def test_policies_know_who_is_calling(world):
    mesh = Mesh()
    p = pb.Policy(namespace="shop", name="callers", action=pb.Policy.ALLOW)
    r = p.rules.add()
    r.to.add().paths.append("/open*")
    r = p.rules.add()
    getattr(r, "from").add().principals.append(f"{TD}/ns/apps/sa/caller")
    mesh.add_policy(p)
    f = Fixture(world, policies=["shop/callers"], mesh=mesh)
    good, bad = f.tunnel(), f.tunnel("stranger")
    assert f.get(good, "/secret")[0] == 200
    assert f.get(bad, "/open")[0] == 200
    assert f.get(bad, "/secret") == (403, b"RBAC: access denied")
    assert f.get(bad, "/open/../secret")[0] == 403


def test_scripts_may_refuse_connections(world):
    mesh = Mesh()
    mesh.add_lua("shop", "guard", """function on_connect(c)
        if c.source.namespace ~= "apps" or c.source.workload ~= "caller-1" then return deny("no") end
        c:tag("via", c.source.service_account) end
        function on_response(res) res:set_header("x-via", tag("via") or "") end""", on_connect=True, on_response=True)
    f = Fixture(world, lua=["shop/guard"], mesh=mesh)
    assert f.get(f.tunnel())[0] == 200
    assert f.tunnel(ns="other").connect(f"{VIP}:80")[1] == 401


def test_an_endpoint_with_another_identity_is_not_trusted(world):
    f = Fixture(world, server="impostor")
    status, body = f.get(f.tunnel())
    assert status == 503 and body.startswith(b"upstream connect error")
    assert not f.ztunnel.seen and not f.echo.seen


def test_a_refusal_by_the_endpoint_is_503(world):
    f = Fixture(world)
    f.ztunnel.refuse = 401
    assert f.get(f.tunnel())[0] == 503
    f.ztunnel.refuse = None
    assert f.get(f.tunnel())[0] == 200


@pytest.mark.parametrize("protocol", ["TCP", "AUTO"])
def test_other_bytes_are_relayed(world, protocol):
    f = Fixture(world, protocol=protocol, echo=Capitals)
    t = f.tunnel()
    stream, status, _ = t.connect(f"{VIP}:80")
    assert status == 200
    t.send(stream, b"\x00\x01not http\n")
    assert t.receive(stream, 11) == b"\x00\x01NOT HTTP\n"
    t.send(stream, b"", end=True)
    t.wait(h2.events.StreamEnded, stream)
    wait_for(lambda: f.wp.sum("istio_tcp_connections_closed_total", reporter="waypoint", destination_workload="web-1") == 1, what="metrics")
    assert f.wp.sum("istio_tcp_received_bytes_total") == 11 and f.wp.sum("istio_tcp_sent_bytes_total") == 11


def test_auto_ports_find_http_by_themselves(world):
    f = Fixture(world, protocol="AUTO")
    assert f.get(f.tunnel())[0] == 200


def test_load_through_both_tunnels(world):
    f = Fixture(world)
    t = [f.tunnel() for _ in range(4)]
    errors = []

    def work(tunnel):
        try:
            for i in range(50):
                status, body = f.get(tunnel, f"/bytes/{i * 700}")
                assert status == 200 and len(body) == i * 700, (status, len(body))
        except Exception as e:  # told by the test's own thread
            errors.append(repr(e))

    threads = [threading.Thread(target=work, args=(x,)) for x in t]
    for x in threads:
        x.start()
    for x in threads:
        x.join(60)
    assert not errors
    wait_for(lambda: f.wp.sum("istio_requests_total", response_code="200") == 200, what="metrics")
