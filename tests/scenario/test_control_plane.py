"""The control plane against a stock ztunnel's peer (istio-ambient.md appendix B, rows 1 to 8), and who may have which certificate."""

import datetime
import socket
import ssl
import time

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from stock_ztunnel import ADDRESS, AUTHORIZATION, HOST, POLICY, Client, ControlPlane, make_csr, wait_for

BOOKINFO = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: bookinfo}
spec: {ports: [{name: http, port: 9080}], selector: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-1, namespace: bookinfo, annotations: {ambit.mesh/hbone: "true"}}
spec: {address: 10.0.0.5, serviceAccount: bookinfo-reviews, labels: {app: reviews, version: v1}, ports: {http: 9080}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-2, namespace: bookinfo, annotations: {ambit.mesh/hbone: "true"}}
spec: {address: "fd00::5", serviceAccount: bookinfo-reviews, labels: {app: reviews, version: v2}, ports: {http: 9080}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: callers, namespace: bookinfo}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{from: [{source: {principals: [cluster.local/ns/bookinfo/sa/bookinfo-productpage]}}]}]
"""
REVIEWS = "bookinfo/reviews.bookinfo.svc.cluster.local"
UID = "Kubernetes/networking.istio.io/WorkloadEntry/bookinfo/"
ID = "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-reviews"


def host_id(name):
    return f"spiffe://cluster.local/ns/ambit-system/sa/host.{name}"


@pytest.fixture
def cp(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("cp"), resources=BOOKINFO) as plane:
        yield plane


@pytest.fixture
def stock(cp):
    """As a stock ztunnel: one token that stays good."""
    client = Client(cp, cp.token(identities=["bookinfo/*"], uses=0))
    yield client
    client.close()


def enrol(cp, name="vm1", identities=("bookinfo/*",), ttl=0):
    """A host that joined: a client with its certificate."""
    token = cp.token(host=name, identities=list(identities))
    client = Client(cp, token)
    csr, key = make_csr(host_id(name))
    r = client.certificate(csr, ttl=ttl)
    client.close()
    return Client(cp, chain="".join(r.cert_chain[:-1]).encode(), key=key)


# --- 1: gRPC framing, trailers, HTTP/2, TLS ------------------------------------------------------------------------------


def test_tls_offers_h2_and_does_not_insist_on_a_client_certificate(cp):
    context = ssl.create_default_context(cadata=cp.root.decode())
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", cp.port)) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
        assert s.selected_alpn_protocol() == "h2"


def test_an_unknown_method_is_unimplemented_and_a_caller_without_anything_is_unauthenticated(cp):
    client = Client(cp)
    call = client.channel.unary_unary("/no.such/Method", lambda b: b, lambda b: b)
    with pytest.raises(grpc.RpcError) as e:
        call(b"", timeout=5)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as e:
        client.certificate(make_csr(ID)[0])
    assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED
    client.close()


def test_a_ping_is_answered_at_once(cp):
    context = ssl.create_default_context(cadata=cp.root.decode())
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", cp.port)) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        conn.initiate_connection()
        conn.ping(b"ambit-me")
        s.sendall(conn.data_to_send())
        s.settimeout(5)
        acked = False
        while not acked:
            for event in conn.receive_data(s.recv(65536)):
                acked = acked or (isinstance(event, h2.events.PingAckReceived) and event.ping_data == b"ambit-me")


# --- 2 and 3: first answers, nonces, the node ------------------------------------------------------------------------------


def test_both_types_are_answered_first_even_when_there_is_nothing(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("cp")) as plane:
        client = Client(plane, plane.token(identities=["*"], uses=0))
        stream = client.stream()
        for t in (ADDRESS, AUTHORIZATION):
            stream.subscribe(t)
            r = stream.take(t)
            assert not r.resources and not r.removed_resources and r.nonce
        stream.end()
        client.close()


def test_each_response_has_a_nonce_of_its_own_and_acks_need_no_node(cp, stock):
    stream = stock.stream()
    stream.subscribe(ADDRESS)
    first = stream.take(ADDRESS)
    stream.subscribe(AUTHORIZATION)  # with its node again
    stream.take(AUTHORIZATION)
    cp.delete("/apis/networking.istio.io/v1/namespaces/bookinfo/workloadentries/reviews-2")
    second = stream.take(ADDRESS)
    assert first.nonce != second.nonce
    stream.end()


def test_the_second_type_may_come_without_a_node(stock):
    stream = stock.stream()
    stream.subscribe(ADDRESS)
    stream.take(ADDRESS)
    stream.subscribe(AUTHORIZATION, node=False)
    assert {r.name for r in stream.take(AUTHORIZATION).resources} == {"bookinfo/callers"}
    stream.end()


# --- 4: names, removals, on demand ------------------------------------------------------------------------------------------


def test_resources_are_named_as_istio_names_them(stock):
    stream = stock.stream().wildcard()
    held = stream.held[ADDRESS]
    assert set(held) == {REVIEWS, UID + "reviews-1", UID + "reviews-2"}
    assert list(held[UID + "reviews-1"].aliases) == ["/10.0.0.5"]
    vip = stream.address(REVIEWS).service.addresses[0]
    assert list(held[REVIEWS].aliases) == ["/" + socket.inet_ntop(socket.AF_INET, vip.address)]
    stream.end()


def test_removals_name_uids_services_and_policies(cp, stock):
    stream = stock.stream().wildcard()
    cp.delete("/apis/networking.istio.io/v1/namespaces/bookinfo/workloadentries/reviews-1")
    assert list(stream.take(ADDRESS).removed_resources) == [UID + "reviews-1"]
    cp.delete("/api/v1/namespaces/bookinfo/services/reviews")
    stream.until(ADDRESS, lambda held: REVIEWS not in held)
    cp.delete("/apis/security.istio.io/v1/namespaces/bookinfo/authorizationpolicies/callers")
    assert list(stream.take(AUTHORIZATION).removed_resources) == ["bookinfo/callers"]
    stream.end()


def test_on_demand_misses_are_answered_as_removed_and_hits_bring_their_endpoints(stock):
    stream = stock.stream()
    stream.subscribe(ADDRESS, sub=["*"], unsub=["*"])
    stream.subscribe(AUTHORIZATION)
    assert stream.take().type_url == AUTHORIZATION
    stream.subscribe(ADDRESS, sub=["/192.0.2.9"], node=False)
    assert list(stream.take(ADDRESS).removed_resources) == ["/192.0.2.9"]
    stream.subscribe(ADDRESS, sub=["/10.0.0.5"], node=False)
    r = stream.take(ADDRESS)
    assert [x.name for x in r.resources] == [UID + "reviews-1"] and "/10.0.0.5" in r.resources[0].aliases
    stream.subscribe(ADDRESS, sub=[REVIEWS], node=False)
    assert {x.name for x in stream.take(ADDRESS).resources} == {REVIEWS, UID + "reviews-2"}
    stream.end()


# --- 5: resumption ----------------------------------------------------------------------------------------------------------------


def test_who_returns_is_sent_what_changed_and_told_what_is_gone_across_a_restart(cp, stock):
    stream = stock.stream().wildcard()
    versions = {name: r.version for name, r in stream.held[ADDRESS].items()}
    assert all(versions.values())
    stream.end()
    cp.delete("/apis/networking.istio.io/v1/namespaces/bookinfo/workloadentries/reviews-2")
    cp.resources = ""  # what is in the file would be applied again
    cp.stop(kill=True)
    cp.start()
    client = Client(cp, stock.token)
    again = client.stream()
    again.subscribe(ADDRESS, versions=versions)
    r = again.take(ADDRESS, 20)
    assert [x.name for x in r.resources] == []
    assert list(r.removed_resources) == [UID + "reviews-2"]
    again.end()
    client.close()


# --- 6: what workloads hold ---------------------------------------------------------------------------------------------------------


def test_workloads_are_what_a_ztunnel_takes(stock):
    stream = stock.stream().wildcard()
    w = stream.address(UID + "reviews-1").workload
    assert (w.name, w.namespace, w.service_account, w.trust_domain) == (
        "reviews-1", "bookinfo", "bookinfo-reviews", "cluster.local")
    assert list(w.addresses) == [socket.inet_aton("10.0.0.5")]
    assert w.tunnel_protocol == 1 and w.status == 0 and w.network_mode == 0
    assert list(w.authorization_policies) == ["bookinfo/callers"]
    ports = w.services[REVIEWS].ports
    assert [(p.service_port, p.target_port, p.app_protocol) for p in ports] == [(9080, 9080, 1)]
    assert len(stream.address(UID + "reviews-2").workload.addresses[0]) == 16
    s = stream.address(REVIEWS).service
    assert (s.name, s.namespace, s.hostname, s.canonical) == ("reviews", "bookinfo", "reviews.bookinfo.svc.cluster.local", True)
    assert not s.HasField("waypoint")
    stream.end()


def test_a_policy_comes_before_the_workloads_that_name_it(cp, stock):
    stream = stock.stream().wildcard()
    cp.create(
        "/apis/security.istio.io/v1/namespaces/bookinfo/authorizationpolicies",
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
         "metadata": {"name": "nobody", "namespace": "bookinfo"},
         "spec": {"action": "DENY", "selector": {"matchLabels": {"version": "v1"}}, "rules": [{}]}},
    )
    first = stream.take()
    assert first.type_url == AUTHORIZATION and [r.name for r in first.resources] == ["bookinfo/nobody"]
    second = stream.take()
    assert second.type_url == ADDRESS and [r.name for r in second.resources] == [UID + "reviews-1"]
    assert list(stream.address(UID + "reviews-1").workload.authorization_policies) == ["bookinfo/callers", "bookinfo/nobody"]
    stream.end()


def test_a_refusal_reaches_the_object_and_the_rest_goes_on(cp, stock):
    stream = stock.stream()
    stream.subscribe(AUTHORIZATION)
    r = stream.take(AUTHORIZATION, ack=False)
    stream.answer(r, "bookinfo/callers: no such thing")

    def told():
        policy = cp.get("/apis/security.istio.io/v1/namespaces/bookinfo/authorizationpolicies/callers")
        return [c for c in policy.get("status", {}).get("conditions", []) if "no such thing" in c["message"]]

    assert wait_for(told)[0]["status"] == "False"
    assert stream.is_quiet() is True
    stream.end()


# --- 7: certificates -------------------------------------------------------------------------------------------------------------------


def test_a_certificate_chain_is_as_a_ztunnel_wants_it(cp, stock):
    csr, _ = make_csr(ID)
    r = stock.certificate(csr, ttl=3600)
    assert len(r.cert_chain) >= 2
    assert r.cert_chain[-1].encode() == cp.root
    leaf = x509.load_pem_x509_certificate(r.cert_chain[0].encode())
    assert leaf.version == x509.Version.v3
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [ID]
    eku = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(eku)
    life = leaf.not_valid_after - leaf.not_valid_before
    assert datetime.timedelta(minutes=55) < life <= datetime.timedelta(minutes=65)
    root = x509.load_pem_x509_certificate(cp.root)
    assert leaf.issuer == root.subject


def test_a_certificate_may_live_for_seconds(stock):
    leaf = x509.load_pem_x509_certificate(stock.certificate(make_csr(ID)[0], ttl=10).cert_chain[0].encode())
    now = datetime.datetime.utcnow()
    assert leaf.not_valid_before <= now
    half = leaf.not_valid_before + (leaf.not_valid_after - leaf.not_valid_before) / 2
    assert now < half <= now + datetime.timedelta(seconds=6)


def refused(call):
    with pytest.raises(grpc.RpcError) as e:
        call()
    return e.value.code()


def test_a_token_gives_no_identity_beyond_its_list(stock):
    other = "spiffe://cluster.local/ns/payments/sa/vault"
    assert refused(lambda: stock.certificate(make_csr(other)[0])) == grpc.StatusCode.PERMISSION_DENIED
    # Whatever the request's own name says, the identity is the one that was authorised.
    r = stock.certificate(make_csr(other)[0], impersonate=ID)
    leaf = x509.load_pem_x509_certificate(r.cert_chain[0].encode())
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [ID]


def test_no_list_however_wide_makes_a_host(cp):
    client = Client(cp, cp.token(host="vm1", identities=["*"], uses=0))
    assert refused(lambda: client.certificate(make_csr(host_id("vm2"))[0])) == grpc.StatusCode.PERMISSION_DENIED
    control = "spiffe://cluster.local/ns/ambit-system/sa/control-plane"
    assert refused(lambda: client.certificate(make_csr(control)[0])) == grpc.StatusCode.PERMISSION_DENIED
    foreign = "spiffe://elsewhere/ns/bookinfo/sa/bookinfo-reviews"
    assert refused(lambda: client.certificate(make_csr(foreign)[0])) == grpc.StatusCode.INVALID_ARGUMENT
    client.close()


def test_a_wrong_token_and_a_request_that_is_none_are_refused(cp, stock):
    good = cp.token(identities=["bookinfo/*"])
    for token in ("nonsense", "ambit1.nobody.secret", good[:-1] + ("A" if good[-1] != "A" else "B"), good + "x", "ambit1.."):
        client = Client(cp, token)
        assert refused(lambda: client.certificate(make_csr(ID)[0])) == grpc.StatusCode.UNAUTHENTICATED
        stream = client.stream()
        stream.subscribe(ADDRESS)
        assert stream.responses.get(timeout=5) is None
        assert stream.error.code() == grpc.StatusCode.UNAUTHENTICATED
        client.close()
    assert refused(lambda: stock.certificate("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n")) == grpc.StatusCode.INVALID_ARGUMENT
    assert refused(lambda: stock.certificate("", impersonate=ID)) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_token_is_used_up_and_a_token_expires(cp):
    once = Client(cp, cp.token(identities=["bookinfo/*"], uses=1))
    once.certificate(make_csr(ID)[0])
    assert refused(lambda: once.certificate(make_csr(ID)[0])) == grpc.StatusCode.UNAUTHENTICATED
    once.close()
    short = Client(cp, cp.token(identities=["bookinfo/*"], uses=0, ttl="1s"))
    short.certificate(make_csr(ID)[0])
    time.sleep(1.2)
    assert refused(lambda: short.certificate(make_csr(ID)[0])) == grpc.StatusCode.UNAUTHENTICATED
    short.close()


# --- Enrolment by certificate ---------------------------------------------------------------------------------------------------------------


def test_a_host_joins_once_and_goes_on_with_its_certificate(cp):
    vm1 = enrol(cp)
    host = cp.get("/apis/ambit.mesh/v1alpha1/hosts/vm1")
    assert host["spec"]["identities"] == ["bookinfo/*"]
    assert len(vm1.certificate(make_csr(ID)[0], impersonate=ID).cert_chain) == 2
    assert len(vm1.certificate(make_csr(host_id("vm1"))[0]).cert_chain) == 2  # renewal
    for other in ("spiffe://cluster.local/ns/payments/sa/vault", host_id("vm2")):
        assert refused(lambda: vm1.certificate(make_csr(other)[0], impersonate=other)) == grpc.StatusCode.PERMISSION_DENIED
    vm1.stream().wildcard().end()
    vm1.close()


def test_a_workloads_certificate_gets_no_other(cp):
    vm1 = enrol(cp)
    csr, key = make_csr(ID)
    r = vm1.certificate(csr)
    workload = Client(cp, chain=r.cert_chain[0].encode(), key=key)
    assert refused(lambda: workload.certificate(make_csr(ID)[0])) == grpc.StatusCode.PERMISSION_DENIED
    workload.close()
    vm1.close()


def test_a_token_for_any_host_does_not_take_one_over(cp):
    enrol(cp, "vm1").close()
    thief = Client(cp, cp.token(identities=["*"], uses=0))
    assert refused(lambda: thief.certificate(make_csr(host_id("vm1"))[0])) == grpc.StatusCode.PERMISSION_DENIED
    thief.close()
    enrol(cp, "vm1").close()  # a token that names it does: a machine that was lost


def test_an_expired_certificate_does_not_get_in(cp):
    vm1 = enrol(cp, ttl=2)
    time.sleep(2.5)
    vm1.close()
    csr, key = make_csr(host_id("vm9"))
    token = cp.token(host="vm9", identities=["bookinfo/*"])
    c = Client(cp, token)
    chain = c.certificate(csr, ttl=1).cert_chain[0].encode()
    c.close()
    time.sleep(1.5)
    late = Client(cp, chain=chain, key=key)
    assert refused(lambda: late.certificate(make_csr(ID)[0], timeout=5)) in (
        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    late.close()


def test_a_revoked_host_loses_its_stream_and_gets_nothing(cp):
    vm1 = enrol(cp)
    stream = vm1.stream(metadata={"AMBIT_HOST": "vm1", "AMBIT_ROLE": "ztunnel", "INSTANCE_IPS": "10.0.0.9"}).wildcard()
    host = cp.get("/apis/ambit.mesh/v1alpha1/hosts/vm1")
    host["spec"]["revoked"] = True
    cp.put("/apis/ambit.mesh/v1alpha1/hosts/vm1", host)
    wait_for(lambda: stream.error is not None or not stream.thread.is_alive(), what="the stream ends")
    assert stream.error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert refused(lambda: vm1.certificate(make_csr(ID)[0])) == grpc.StatusCode.PERMISSION_DENIED
    vm1.close()


# --- Registration -----------------------------------------------------------------------------------------------------------------------------

METADATA = {
    "AMBIT_HOST": "vm1", "AMBIT_ROLE": "ztunnel", "INSTANCE_IPS": "10.0.0.9,10.1.0.9", "REGION": "eu", "ZONE": "eu-1",
    "METRICS_PORT": "15020",
    "WORKLOADS": '[{"name":"reviews-v3","namespace":"bookinfo","serviceAccount":"bookinfo-reviews",'
                 '"labels":{"app":"reviews","version":"v3"},"ports":[{"name":"http","port":9083}]},'
                 '{"name":"ratings","namespace":"bookinfo","serviceAccount":"bookinfo-ratings","ports":[{"name":"http","port":9084}]},'
                 '{"name":"vault","namespace":"payments","serviceAccount":"vault"}]',
}


def test_a_host_registers_what_it_may_run_and_shares_its_address(cp, stock):
    watcher = stock.stream().wildcard()
    vm1 = enrol(cp)
    stream = vm1.stream(metadata=METADATA).wildcard()
    watcher.until(ADDRESS, lambda held: UID + "vm1-reviews-v3" in held and UID + "vm1-ratings" in held)
    w = watcher.address(UID + "vm1-reviews-v3").workload
    assert (w.workload_name, w.node, w.canonical_name, w.canonical_revision) == ("reviews-v3", "vm1", "reviews", "v3")
    assert w.network_mode == 1  # two workloads, one address
    assert (w.locality.region, w.locality.zone) == ("eu", "eu-1")
    assert [p.target_port for p in w.services[REVIEWS].ports] == [9083]
    labels = cp.pb.labels.Labels()
    labels.ParseFromString(next(x for x in w.extensions if x.name == "ambit.labels").config.value)
    assert dict(labels.labels) == {"app": "reviews", "version": "v3"}
    assert cp.api("GET", "/apis/networking.istio.io/v1/namespaces/payments/workloadentries/vm1-vault")[0] == 404
    host = cp.get("/apis/ambit.mesh/v1alpha1/hosts/vm1")["status"]
    assert host["connected"] is True and host["metricsPort"] == 15020 and host["addresses"][0] == "10.0.0.9"
    assert "bookinfo/vm1-reviews-v3" in host["workloads"]
    # Somebody else's name is refused.
    liar = vm1.stream(metadata={**METADATA, "AMBIT_HOST": "vm2"})
    liar.subscribe(ADDRESS)
    wait_for(lambda: not liar.thread.is_alive())
    assert liar.error.code() == grpc.StatusCode.PERMISSION_DENIED
    # It leaves: still healthy within the grace, away after it.
    stream.end()
    wait_for(lambda: cp.get("/apis/ambit.mesh/v1alpha1/hosts/vm1")["status"]["connected"] is False)
    assert watcher.address(UID + "vm1-ratings").workload.status == 0
    watcher.until(
        ADDRESS,
        lambda held: watcher.address(UID + "vm1-ratings").workload.status == 1
        and watcher.address(UID + "vm1-reviews-v3").workload.status == 1,
        timeout=15,
    )
    # And back.
    stream = vm1.stream(metadata=METADATA).wildcard()
    watcher.until(ADDRESS, lambda held: watcher.address(UID + "vm1-ratings").workload.status == 0)
    stream.end()
    vm1.close()
    watcher.end()


# --- Waypoints ----------------------------------------------------------------------------------------------------------------------------------

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint-bookinfo-reviews, namespace: bookinfo, labels: {ambit.mesh/managed: "true"}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: bookinfo}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: bookinfo}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
GATEWAY_PATH = "/apis/gateway.networking.k8s.io/v1/namespaces/bookinfo/gateways/waypoint-bookinfo-reviews"


def waypoint(cp, name="waypoint-bookinfo-reviews"):
    client = enrol(cp, "w1", [f"bookinfo/{name}"])
    meta = {"AMBIT_HOST": "w1", "AMBIT_ROLE": "waypoint", "INSTANCE_IPS": "10.0.0.20", "HBONE_PORT": "15208",
            "GATEWAY": f"bookinfo/{name}"}
    return client, client.stream(metadata=meta)


def ready(cp, path=GATEWAY_PATH):
    gw = cp.get(path)
    gw["status"] = {"addresses": [{"type": "IPAddress", "value": "10.0.0.20"}]}
    cp.put(path + "/status", gw)


def test_a_route_binds_its_service_once_the_waypoint_is_ready(cp, stock):
    watcher = stock.stream().wildcard()
    cp.apply(ROUTE)
    cp.apply(GATEWAY)
    client, stream = waypoint(cp)
    stream.wildcard((ADDRESS, HOST, POLICY))
    stream.until(HOST, lambda held: set(held) == {REVIEWS})
    host = stream.message(HOST, cp.pb.waypoint.Host, REVIEWS)
    routes = host.ports[0].routes
    assert [r.destinations[0].subset for r in routes] == ["v2", "v1"]
    assert routes[0].matches[0].headers[0].name == "end-user"
    assert {s.name: dict(s.labels) for s in host.subsets} == {"v1": {"version": "v1"}, "v2": {"version": "v2"}}
    # Its own workload and service are there; nothing goes through it yet.
    key = "bookinfo/waypoint-bookinfo-reviews.bookinfo.svc.cluster.local"
    watcher.until(ADDRESS, lambda held: UID + "waypoint-bookinfo-reviews-w1" in held and key in held)
    own = watcher.address(UID + "waypoint-bookinfo-reviews-w1").workload
    assert own.service_account == "waypoint-bookinfo-reviews"
    assert [(p.service_port, p.target_port) for p in own.services[key].ports] == [(15008, 15208)]
    assert not watcher.address(REVIEWS).service.HasField("waypoint")
    ready(cp)
    watcher.until(ADDRESS, lambda held: watcher.address(REVIEWS).service.HasField("waypoint"))
    bound = watcher.address(REVIEWS).service.waypoint
    assert (bound.hostname.namespace + "/" + bound.hostname.hostname, bound.hbone_mtls_port) == (key, 15008)
    # The allow-list of the destination lets the waypoint in, and the list itself moved there.
    names = list(watcher.address(UID + "reviews-1").workload.authorization_policies)
    assert "bookinfo/ambit_allow_waypoint_waypoint-bookinfo-reviews" in names
    stream.until(POLICY, lambda held: "bookinfo/callers" in held)
    # It dies: at once unhealthy, still bound.
    stream.end()
    watcher.until(ADDRESS, lambda held: watcher.address(UID + "waypoint-bookinfo-reviews-w1").workload.status == 1, 5)
    assert watcher.address(REVIEWS).service.HasField("waypoint")
    client.close()
    # The route goes: unbound.
    cp.delete("/apis/networking.istio.io/v1/namespaces/bookinfo/virtualservices/reviews")
    watcher.until(ADDRESS, lambda held: not watcher.address(REVIEWS).service.HasField("waypoint"))
    watcher.end()


def test_what_was_written_down_for_a_waypoint_goes_with_its_gateway(cp):
    cp.apply(GATEWAY)
    client, stream = waypoint(cp)
    stream.wildcard((ADDRESS,))
    entry = "/apis/networking.istio.io/v1/namespaces/bookinfo/workloadentries/waypoint-bookinfo-reviews-w1"
    assert cp.get(entry)["spec"]["ports"] == {"hbone": 15208}
    cp.delete(GATEWAY_PATH)
    assert cp.api("GET", entry)[0] == 200  # it still runs
    stream.end()
    client.close()
    wait_for(lambda: cp.api("GET", entry)[0] == 404)
    wait_for(lambda: cp.api("GET", "/apis/ambit.mesh/v1alpha1/hosts/w1")[0] == 404)


def test_a_policy_on_paths_closes_the_way_past_the_waypoint_at_once(cp, stock):
    watcher = stock.stream().wildcard()
    cp.create(
        "/apis/security.istio.io/v1/namespaces/bookinfo/authorizationpolicies",
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "no-admin", "namespace": "bookinfo"},
         "spec": {"action": "DENY", "selector": {"matchLabels": {"app": "reviews"}},
                  "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]}},
    )
    watcher.until(ADDRESS, lambda held: watcher.address(REVIEWS).service.HasField("waypoint"))
    guard = "bookinfo/ambit_require_waypoint_waypoint-bookinfo-reviews"
    assert guard in list(watcher.address(UID + "reviews-1").workload.authorization_policies)
    a = watcher.message(AUTHORIZATION, cp.pb.authorization.Authorization, guard)
    assert a.action == 1 and a.scope == 2
    rules = a.groups[0].rules
    assert rules[0].matches[0].not_principals[0].exact == "cluster.local/ns/bookinfo/sa/waypoint-bookinfo-reviews"
    assert list(rules[1].matches[0].destination_ports) == [9080]
    service = cp.get("/api/v1/namespaces/bookinfo/services/reviews")
    condition = next(c for c in service["status"]["conditions"] if c["type"] == "istio.io/WaypointBound")
    assert condition["status"] == "False" and "refused" in condition["message"]
    watcher.end()


def test_a_waypoint_sees_its_own_hosts_alone(cp):
    cp.apply(ROUTE)
    cp.apply(GATEWAY.replace("waypoint-bookinfo-reviews", "other"))
    client, stream = waypoint(cp, "other")
    stream.wildcard((HOST,))
    assert stream.held.get(HOST, {}) == {}
    stream.end()
    client.close()


# --- 8: age, size -----------------------------------------------------------------------------------------------------------------------------------


def test_a_stream_ends_by_age_with_a_clean_end_and_is_resumed(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("cp"), server=", maxConnectionAge: 1s", resources=BOOKINFO) as plane:
        client = Client(plane, plane.token(identities=["*"], uses=0))
        stream = client.stream().wildcard()
        versions = {name: r.version for name, r in stream.held[ADDRESS].items()}
        wait_for(lambda: not stream.thread.is_alive(), 5, "the stream ends")
        assert stream.error is None or stream.error.code() == grpc.StatusCode.UNAVAILABLE
        again = client.stream()
        again.subscribe(ADDRESS, versions=versions)
        r = again.take(ADDRESS, 10)
        assert not r.resources and not r.removed_resources
        again.end()
        client.close()


def test_a_large_mesh_arrives_in_one_message(cp, stock):
    entries = "\n---\n".join(
        f"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w{i}, namespace: big}}\n"
        f"spec: {{address: 10.9.{i // 250}.{i % 250 + 1}, serviceAccount: sa, labels: {{app: w}}}}"
        for i in range(1000)
    )
    cp.resources = BOOKINFO + "---\n" + entries
    cp.stop()
    cp.start()
    client = Client(cp, stock.token)
    stream = client.stream()
    stream.subscribe(ADDRESS)
    assert len(stream.take(ADDRESS, 20).resources) == 1003
    stream.end()
    client.close()
