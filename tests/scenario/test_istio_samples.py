"""Istio's own Bookinfo files, applied unmodified: each must compile to what Istio documents of it.

The files are not part of this tree: $AMBIT_EXTERNAL names their folder, else ../shared/external beside the checkout is looked for.
"""

import os
import subprocess
from pathlib import Path

import pytest

from stock_ztunnel import ADDRESS, AMBIT, HOST, ROOT, Client, ControlPlane, make_csr

EXTERNAL = Path(os.environ.get("AMBIT_EXTERNAL", ROOT / ".." / "shared" / "external"))
SAMPLES = EXTERNAL / "istio-samples" / "samples" / "bookinfo"

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no Istio samples in {SAMPLES}")

VERSIONS = {
    "productpage": ["v1"],
    "details": ["v1", "v2"],
    "reviews": ["v1", "v2", "v3"],
    "ratings": ["v1", "v2", "v2-mysql", "v2-mysql-vm"],
}
DOMAIN = "default.svc.cluster.local"


def workloads():
    for app, versions in VERSIONS.items():
        for i, version in enumerate(versions):
            yield (
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
                f"metadata: {{name: {app}-{version}, namespace: default}}\n"
                f"spec: {{address: 10.0.{len(app)}.{i + 1}, serviceAccount: bookinfo-{app}, "
                f"labels: {{app: {app}, version: {version}}}}}\n"
            )


def versioned_services():
    """What bookinfo-versions.yaml has: a Service for each version, for the Gateway API's routes."""
    for app, versions in VERSIONS.items():
        for version in versions:
            yield (
                f"apiVersion: v1\nkind: Service\nmetadata: {{name: {app}-{version}, namespace: default}}\n"
                f"spec: {{ports: [{{port: 9080, name: http}}], selector: {{app: {app}, version: {version}}}}}\n"
            )


def apply(cp, *files):
    """(exit code, what it said) of `ambit apply`."""
    args = [AMBIT, "apply"]
    for f in files:
        args += ["-f", str(f)]
    r = subprocess.run(args, capture_output=True, text=True, timeout=30,
        env={**os.environ, "AMBIT_RUN_DIR": f"{cp.folder}/run"})
    return r.returncode, r.stdout + r.stderr


@pytest.fixture
def cp(tmp_path_factory):
    resources = "---\n".join(list(workloads()) + list(versioned_services()))
    with ControlPlane(tmp_path_factory.mktemp("cp"), resources=resources) as plane:
        code, said = apply(plane, SAMPLES / "platform/kube/bookinfo.yaml")
        assert "Deployment" in said and code == 1, said  # refused by name; the rest is there
        yield plane


class Waypoints:
    """Every waypoint's Hosts, seen by a host that may run them all."""

    def __init__(self, cp):
        self.cp = cp
        token = cp.token(host="w", identities=["*"])
        first = Client(cp, token)
        csr, key = make_csr("spiffe://cluster.local/ns/ambit-system/sa/host.w")
        r = first.certificate(csr)
        first.close()
        self.client = Client(cp, chain=r.cert_chain[0].encode(), key=key)

    def host(self, app):
        """The compiled Host of a service, or None."""
        name = f"default/waypoint-bookinfo-{app}"
        stream = self.client.stream(
            metadata={"AMBIT_HOST": "w", "AMBIT_ROLE": "waypoint", "INSTANCE_IPS": "10.0.9.9", "GATEWAY": name, "HBONE_PORT": "1"}
        )
        stream.wildcard((HOST,))
        key = f"default/{app}.{DOMAIN}"
        found = stream.message(HOST, self.cp.pb.waypoint.Host, key) if key in stream.held[HOST] else None
        stream.end()
        return found


def settled(cp, condition):
    """The compiler runs a moment after a change."""
    import time

    end = time.monotonic() + 5
    while True:
        waypoints = Waypoints(cp)
        try:
            return condition(waypoints)
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        finally:
            waypoints.client.close()


def summary(host):
    """Routes as Istio's pages speak of them: [(condition, fault, [(target, share)])]."""
    out = []
    for r in host.ports[0].routes:
        when = " ".join(f"{h.name}={h.value.exact}" for m in r.matches for h in m.headers)
        fault = ""
        if r.HasField("fault"):
            f = r.fault
            if f.delay_per_million:
                fault += f"delay {f.delay_ms} ms for {f.delay_per_million / 10000:g} %"
            if f.abort_per_million:
                fault += f"abort {f.abort_status} for {f.abort_per_million / 10000:g} %"
        total = sum(d.weight for d in r.destinations)
        targets = []
        for d in r.destinations:
            name = d.hostname.split(".")[0] + (f":{d.subset}" if d.subset else "")
            targets.append((name, round(100 * d.weight / total) if total else 100 // len(r.destinations), d.invalid_status))
        out.append((when, fault, targets))
    return out


def to(target, share=100):
    return (target, share, 0)


ALL_V1 = {app: [("", "", [to(f"{app}:v1")])] for app in VERSIONS}

NETWORKING = [
    (["virtual-service-all-v1.yaml"], ALL_V1),
    (["virtual-service-details-v2.yaml"], {"details": [("", "", [to("details:v2")])]}),
    (["virtual-service-reviews-90-10.yaml"], {"reviews": [("", "", [to("reviews:v1", 90), to("reviews:v2", 10)])]}),
    (["virtual-service-reviews-80-20.yaml"], {"reviews": [("", "", [to("reviews:v1", 80), to("reviews:v2", 20)])]}),
    (["virtual-service-reviews-50-v3.yaml"], {"reviews": [("", "", [to("reviews:v1", 50), to("reviews:v3", 50)])]}),
    (["virtual-service-reviews-v2-v3.yaml"], {"reviews": [("", "", [to("reviews:v2", 50), to("reviews:v3", 50)])]}),
    (["virtual-service-reviews-v3.yaml"], {"reviews": [("", "", [to("reviews:v3")])]}),
    (["virtual-service-reviews-test-v2.yaml"],
     {"reviews": [("end-user=jason", "", [to("reviews:v2")]), ("", "", [to("reviews:v1")])]}),
    (["virtual-service-reviews-jason-v2-v3.yaml"],
     {"reviews": [("end-user=jason", "", [to("reviews:v2")]), ("", "", [to("reviews:v3")])]}),
    (["virtual-service-ratings-test-delay.yaml"],
     {"ratings": [("end-user=jason", "delay 7000 ms for 100 %", [to("ratings:v1")]), ("", "", [to("ratings:v1")])]}),
    (["virtual-service-ratings-test-abort.yaml"],
     {"ratings": [("end-user=jason", "abort 500 for 100 %", [to("ratings:v1")]), ("", "", [to("ratings:v1")])]}),
    (["fault-injection-details-v1.yaml"],
     {"details": [("", "abort 555 for 100 %", [to("details:v1")]), ("", "", [to("details:v1")])]}),
    (["virtual-service-ratings-db.yaml"],
     {"reviews": [("", "", [to("reviews:v3")])], "ratings": [("", "", [to("ratings:v2")])]}),
    (["virtual-service-ratings-mysql.yaml"],
     {"reviews": [("", "", [to("reviews:v3")])], "ratings": [("", "", [to("ratings:v2-mysql")])]}),
    (["virtual-service-ratings-mysql-vm.yaml"],
     {"reviews": [("", "", [to("reviews:v3")])], "ratings": [("", "", [to("ratings:v2-mysql-vm")])]}),
]


@pytest.mark.parametrize(("files", "expect"), NETWORKING, ids=[f[0][0] for f in NETWORKING])
def test_virtual_services(cp, files, expect):
    rules = SAMPLES / "networking/destination-rule-all.yaml"
    code, said = apply(cp, rules, *[SAMPLES / "networking" / f for f in files])
    assert code == 0, said

    def check(waypoints):
        for app, routes in expect.items():
            host = waypoints.host(app)
            assert host is not None, f"{app} has no waypoint"
            assert summary(host) == routes
        for app in set(VERSIONS) - set(expect):
            assert waypoints.host(app) is None, f"{app} has a waypoint for nothing"

    settled(cp, check)


GATEWAY_API = [
    ("route-all-v1.yaml", {app: [("", "", [to(f"{app}-v1")])] for app in VERSIONS}),
    ("route-reviews-v1.yaml", {"reviews": [("", "", [to("reviews-v1")])]}),
    ("route-reviews-v3.yaml", {"reviews": [("", "", [to("reviews-v3")])]}),
    ("route-reviews-90-10.yaml", {"reviews": [("", "", [to("reviews-v1", 90), to("reviews-v2", 10)])]}),
    ("route-reviews-50-v3.yaml", {"reviews": [("", "", [to("reviews-v1", 50), to("reviews-v3", 50)])]}),
]


@pytest.mark.parametrize(("file", "expect"), GATEWAY_API, ids=[f[0] for f in GATEWAY_API])
def test_gateway_api_routes(cp, file, expect):
    code, said = apply(cp, SAMPLES / "gateway-api" / file)
    assert code == 0, said

    def check(waypoints):
        for app, routes in expect.items():
            host = waypoints.host(app)
            assert host is not None, f"{app} has no waypoint"
            assert summary(host) == routes

    settled(cp, check)
    for app in expect:
        route = cp.get(f"/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/{app}")
        conditions = {c["type"]: c["status"] for p in route["status"]["parents"] for c in p["conditions"]}
        assert conditions == {"Accepted": "True", "ResolvedRefs": "True"}


@pytest.mark.parametrize(
    "file", ["networking/bookinfo-gateway.yaml", "gateway-api/bookinfo-gateway.yaml", "networking/destination-rule-all-mtls.yaml",
             "networking/destination-rule-reviews.yaml"])
def test_what_is_for_gateways_or_changes_nothing_makes_no_waypoint(cp, file):
    code, said = apply(cp, SAMPLES / file)
    assert code in (0, 1), said

    def check(waypoints):
        for app in VERSIONS:
            assert waypoints.host(app) is None

    settled(cp, check)


def test_an_external_service_has_a_host_name_and_an_address(cp):
    code, said = apply(cp, SAMPLES / "networking/egress-rule-google-apis.yaml")
    assert code == 0, said
    client = Client(cp, cp.token(identities=["*"], uses=0))
    stream = client.stream().wildcard()
    key = "default/www.googleapis.com"
    stream.until(ADDRESS, lambda held: key in held)
    s = stream.address(key).service
    assert [(p.service_port, p.app_protocol) for p in s.ports] == [(80, 1), (443, 5)] and len(s.addresses) == 1
    w = stream.address("Kubernetes/networking.istio.io/ServiceEntry/default/googleapis/www.googleapis.com").workload
    assert w.hostname == "www.googleapis.com" and w.tunnel_protocol == 0
    stream.end()
    client.close()
