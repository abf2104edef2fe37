"""ztunnels with the real control plane: joining, policy that arrives while connections live, certificates that are renewed, and life
without a control plane."""

import os
import socket
import struct
import time

import pytest

from zt_world import ControlPlane, World, spiffe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")


def workload(name, uid, port=None, ns="app"):
    return {
        "name": name,
        "namespace": ns,
        "serviceAccount": name,
        "labels": {"app": name},
        "select": {"user": str(uid)},
        "ports": [{"name": "tcp", "port": port}] if port else [],
    }


def service(name, port, target, ns="app"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": ns},
        "spec": {"selector": {"app": name}, "ports": [{"name": "tcp", "port": port, "targetPort": target}]},
    }


def account(name, ns="app"):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": ns}}


RESOURCES = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}},
    account("client"),
    account("server"),
    account("second"),
    service("server", 80, 9000),
    service("second", 80, 9001),
]
DENY = {
    "apiVersion": "security.istio.io/v1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "no-client", "namespace": "app"},
    "spec": {"action": "DENY", "rules": [{"from": [{"source": {"principals": ["cluster.local/ns/app/sa/client"]}}]}]},
}
# A program of the test runs as root.
CLIENT = workload("client", 0)
SERVER = workload("server", 0, 9000)


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    try:
        w.a = w.host("a", "10.77.0.1")
        w.b = w.host("b", "10.77.0.2")
        yield w
    finally:
        w.close()


def vip(host, name):
    def find():
        for s in host.dump()["services"]:
            if s["hostname"] == f"{name}.app.svc.cluster.local" and s["endpoints"]:
                return s["vips"][0].split("/")[1]

    return wait_for(find, what=f"{name} with endpoints at {host.name}")


def talk(s, data=b"hello"):
    s.sendall(data)
    out = b""
    while len(out) < len(data):
        part = s.recv(65536)
        if not part:
            break
        out += part
    return out


def is_reachable(host, address):
    try:
        with host.connect(address, timeout=2) as s:
            return talk(s) == b"HELLO"
    except OSError:
        return False


def test_hosts_join_with_tokens_and_talk(world):
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [SERVER])
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")
    assert (
        wait_for(lambda: world.b.sum("istio_tcp_connections_closed_total", reporter="destination"), what="closed") >= 1
    )
    unknown = [
        dict(labels)
        for (name, labels), v in world.b.metrics().items()
        if name.startswith("istio_tcp_") and "unknown" in dict(labels).values()
    ]
    assert unknown == []


def test_a_policy_closes_what_it_forbids_and_lets_it_back(world):
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [SERVER])
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")
    with world.a.connect(address, timeout=10) as s:
        assert talk(s) == b"HELLO"
        cp.apply(DENY)
        try:
            assert s.recv(100) == b""
        except ConnectionError:
            pass
    wait_for(lambda: any("connection closed due to policy change" in x for x in world.b.access()), what="log")
    assert not is_reachable(world.a, address)
    cp.ambit("delete", "authorizationpolicy", "no-client", "-n", "app")
    wait_for(lambda: is_reachable(world.a, address), what="let back")


def test_traffic_survives_the_control_plane_and_a_restart_without_it(world):
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [SERVER])
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")
    cp.host.stop(9)
    assert is_reachable(world.a, address)
    world.a.stop()
    world.b.stop(9)
    begin = time.monotonic()
    cp.start_host(world.b, [SERVER])
    cp.start_host(world.a, [CLIENT])
    assert time.monotonic() - begin < 2
    assert is_reachable(world.a, address)
    assert "ambit-system" not in str([c for c in world.a.dump()["certificates"] if c["state"] != "Available"])
    # It comes back, and what it says now counts.
    cp.start()
    cp.apply(DENY)
    wait_for(lambda: not is_reachable(world.a, address), 20, what="policy after the return")


def test_certificates_are_renewed_under_traffic(world):
    cp = ControlPlane(world, resources=RESOURCES, certificateTTL="5s")
    world.b.echo(9000)
    short = {"certificateLifetime": "6s"}
    cp.join(world.a, [CLIENT], ztunnel=short)
    cp.join(world.b, [SERVER], ztunnel=short)
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")

    def serials():
        return {c["identity"]: c["certChain"][0]["serialNumber"] for c in world.b.dump()["certificates"] if "certChain" in c}

    first = serials()
    with world.a.connect(address, timeout=10) as held:
        assert talk(held) == b"HELLO"
        end = time.monotonic() + 9
        while time.monotonic() < end:
            assert is_reachable(world.a, address)
            time.sleep(0.2)
        # Nobody cut the connection that lives.
        assert talk(held, b"still here") == b"STILL HERE"
    now = serials()
    assert set(now) == set(first) and all(now[i] != first[i] for i in first)


def test_two_services_of_one_host_are_told_apart(world):
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    world.b.echo(9001)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [workload("server", 0, 9000), workload("second", 4242, 9001)])
    for name in ("server", "second"):
        address = (vip(world.a, name), 80)
        wait_for(lambda: is_reachable(world.a, address), what=name)
    wait_for(lambda: world.a.sum("istio_tcp_connections_closed_total", reporter="source") >= 2, what="closed")
    for name in ("server", "second"):
        for host, reporter in ((world.a, "source"), (world.b, "destination")):
            assert (
                host.sum(
                    "istio_tcp_connections_opened_total",
                    reporter=reporter,
                    destination_principal=spiffe("app", name),
                    destination_workload=name,
                )
                >= 1
            ), (name, reporter)
    # A policy for the one does not touch the other.
    policy = {**DENY, "spec": {**DENY["spec"], "selector": {"matchLabels": {"app": "second"}}}}
    cp.apply(policy)
    wait_for(lambda: not is_reachable(world.a, (vip(world.a, "second"), 80)), what="second denied")
    assert is_reachable(world.a, (vip(world.a, "server"), 80))


def query(host, name, kind=1, server="10.77.0.9", tcp=False):
    """(rcode, addresses) by a hand-made DNS query."""
    q = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0)
    q += b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0" + struct.pack(">HH", kind, 1)
    from zt_world import inside

    with inside(host.netns):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        s.settimeout(8)
        s.connect((server, 53))
    with s:
        s.send(struct.pack(">H", len(q)) + q if tcp else q)
        data = s.recv(4096)
        if tcp:
            data = data[2:]
    ident, flags, qd, an = struct.unpack(">HHHH", data[:8])
    assert ident == 0x1234
    out, at = [], len(q)
    for _ in range(an):
        if data[at] & 0xC0 == 0xC0:
            at += 2
        else:
            while data[at]:
                at += data[at] + 1
            at += 1
        rtype, _, ttl, size = struct.unpack(">HHIH", data[at : at + 10])
        at += 10
        if rtype == 1:
            out.append(socket.inet_ntoa(data[at : at + 4]))
        at += size
    return flags & 15, out


def test_names_of_the_mesh_are_answered_and_others_forwarded(world):
    cp = ControlPlane(world, resources=RESOURCES)
    cp.join(world.b, [SERVER])
    cp.join(world.a, [CLIENT], ztunnel={"dnsUpstream": "10.77.0.2:5300"})
    address = vip(world.a, "server")
    for name in ("server", "server.app", "server.app.svc", "server.app.svc.cluster.local", "SERVER.app"):
        assert query(world.a, name) == (0, [address]), name
    assert query(world.a, "server.app", tcp=True) == (0, [address])
    # A name of ours without an address of this family is an empty answer, never somebody else's.
    assert query(world.a, "server.app", kind=28) == (0, [])

    from zt_world import inside

    with inside(world.b.netns):
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.bind(("10.77.0.2", 5300))
    import threading

    def answer():
        for _ in range(8):
            try:
                q, peer = upstream.recvfrom(4096)
            except OSError:
                return
            end = q.index(b"\0", 12) + 5
            upstream.sendto(
                q[:2]
                + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
                + q[12:end]
                + b"\xc0\x0c"
                + struct.pack(">HHIH", 1, 1, 60, 4)
                + socket.inet_aton("192.0.2.77"),
                peer,
            )

    threading.Thread(target=answer, daemon=True).start()
    assert query(world.a, "www.example.com") == (0, ["192.0.2.77"])
    upstream.close()
    assert world.a.sum("istio_dns_requests_total", request_query_type="A") >= 6
    assert world.a.sum("istio_dns_upstream_requests_total") == 1


def test_a_script_judges_connections(world):
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [SERVER])
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")
    script = """
function on_connect(conn)
  if conn.source.service_account == "client" then
    return deny("clients rest today")
  end
end
"""
    policy = {
        "apiVersion": "ambit.mesh/v1alpha1",
        "kind": "LuaPolicy",
        "metadata": {"name": "rest", "namespace": "app"},
        "spec": {"source": script},
    }
    cp.apply(policy)
    wait_for(lambda: not is_reachable(world.a, address), what="denied by the script")
    wait_for(lambda: any("denied by script: clients rest today" in x for x in world.b.access()), what="log")
    cp.ambit("delete", "luapolicy", "rest", "-n", "app")
    wait_for(lambda: is_reachable(world.a, address), what="let back")


def test_a_reload_takes_new_workloads_and_refuses_bad_files(world):
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    world.b.echo(9001)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [SERVER])
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")
    # Another program comes to the host; its identity must be allowed to it.
    (world.b.folder / "token").write_text(cp.token(world.b, "app/second"))
    spec = {
        "localXds": "",
    }
    more = dict(
        ztunnel={**spec},
        controlPlane={"address": f"{cp.ip}:15012", "caFile": str(cp.root), "tokenFile": str(world.b.folder / "token")},
    )
    path = world.b.folder / "ambit.yaml"
    with world.a.connect(address, timeout=10) as s:
        assert talk(s) == b"HELLO"
        path.write_text(world.b.config([SERVER, {**workload("second", 4242, 9001), "serviceAccount": "server"}], **more))
        world.b.process.send_signal(1)
        wait_for(lambda: len(world.b.dump()["hosted"]) == 2, what="second workload")
        second = (vip(world.a, "second"), 80)
        wait_for(lambda: is_reachable(world.a, second), what="second reachable")
        path.write_text("not: [yaml")
        world.b.process.send_signal(1)
        time.sleep(0.5)
        assert world.b.process.poll() is None
        assert talk(s, b"on") == b"ON"
    assert is_reachable(world.a, address)


def test_a_policy_list_that_changes_closes_connections_too(world):
    """The policy was there; that it is for this workload is news (Istio's ztunnel does not look again then)."""
    cp = ControlPlane(world, resources=RESOURCES)
    world.b.echo(9000)
    cp.join(world.a, [CLIENT])
    cp.join(world.b, [SERVER])
    address = (vip(world.a, "server"), 80)
    wait_for(lambda: is_reachable(world.a, address), what="a call")
    policy = {**DENY, "spec": {**DENY["spec"], "selector": {"matchLabels": {"app": "nobody"}}}}
    cp.apply(policy)
    time.sleep(0.3)
    with world.a.connect(address, timeout=10) as s:
        assert talk(s) == b"HELLO"
        policy["spec"]["selector"]["matchLabels"]["app"] = "server"
        cp.apply(policy)
        try:
            assert s.recv(100) == b""
        except ConnectionError:
            pass
