"""metrics-ui against proxies and a control plane made of http.server: what it learns, counts, keeps, answers and refuses."""

import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import fake_mesh

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
AMBIT = os.environ.get("AMBIT", str(BUILD / "ambit"))
ROLES = os.environ.get("AMBIT_ROLE_DIR", str(BUILD / "modules" / ".libs"))


def wait_for(condition, deadline=20.0, what="condition"):
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.05)


class Ui:
    def __init__(self, mesh, folder):
        self.mesh, self.folder, self.port, self.process = mesh, folder, fake_mesh.free_port(), None
        self.file = folder / "ambit.yaml"
        self.file.write_text(fake_mesh.config(mesh, folder, self.port))

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([AMBIT, "run", "-c", self.file, "--role-dir", ROLES], stderr=self.log, stdout=self.log)
        wait_for(self.is_ready, what="metrics-ui is ready")
        return self

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def stop(self):
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        rc = self.process.wait(20)
        self.process = None
        self.log.close()
        return rc

    def get(self, path, headers=None, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            c.request(method, path, headers=headers or {})
            r = c.getresponse()
            return r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
        finally:
            c.close()

    def api(self, path):
        status, _, body = self.get("/api/" + path)
        assert status == 200, body
        return json.loads(body)

    def targets(self):
        return {t["name"]: t for t in self.api("targets")["items"]}

    def settle(self):
        """All targets answered: from here on everything that they count is seen."""
        wait_for(lambda: self.targets() and all(t["up"] for t in self.targets().values()), what="every target answers")
        self.seen()


    def seen(self):
        """Whatever was counted before this call is in the history: a round that began after it is over."""
        now = int(time.time()) + 1
        wait_for(lambda: self.api("graph")["time"] >= now * 1000, what="a whole round")

    def graph(self, **params):
        q = "&".join(f"{k}={v}" for k, v in {"window": 3600, **params}.items())
        return Graph(self.api("graph?" + q))


class Graph:
    def __init__(self, doc):
        self.doc, self.seconds = doc, doc["measured"]
        self.nodes = {n["id"]: n for n in doc["nodes"]}
        self.edges = {(e["source"], e["target"]): e for e in doc["edges"]}

    def total(self, edge, what):
        return round(self.edges[edge]["traffic"][what] * self.seconds)


@pytest.fixture
def mesh():
    m = fake_mesh.Mesh()
    yield m
    for t in [*m.targets.values(), m.wp_target]:
        if t:
            t.stop()


@pytest.fixture
def ui(mesh, tmp_path):
    u = Ui(mesh, tmp_path).start()
    yield u
    if u.process is not None:
        assert u.stop() == 0, (tmp_path / "log").read_text()


CLIENT, PAGE, RATINGS, REDIS = "w:load/client-v1", "w:bookinfo/productpage-v1", "w:bookinfo/ratings-v1", "w:data/redis"
REVIEWS = ["w:bookinfo/reviews-v1", "w:bookinfo/reviews-v2", "w:bookinfo/reviews-v3"]
WAYPOINT = "bookinfo/" + fake_mesh.WAYPOINT


def test_direct_traffic_is_counted_once(ui, mesh):
    ui.settle()
    mesh.step(100)
    ui.seen()
    g = ui.graph()
    assert g.doc["targets"] == {"up": 6, "total": 6}
    assert g.doc["control"]["connected"] is True
    assert g.total((CLIENT, PAGE), "connections") == 100
    assert g.total((CLIENT, PAGE), "received") == 100 * 400
    assert g.total((CLIENT, PAGE), "sent") == 100 * 7700
    reached = [r for r in REVIEWS if (PAGE, r) in g.edges]
    assert sum(g.total((PAGE, r), "connections") for r in reached) == 100
    edge = g.edges[(CLIENT, PAGE)]
    assert edge["traffic"]["mtls"] == 1 and edge["reporter"] == "destination" and edge["via"] == []
    assert edge["service"]["host"] == "productpage.bookinfo.svc.cluster.local"
    # Everybody is known by name, and where they run.
    assert not [n for n in g.nodes.values() if n["kind"] == "outside" or "unknown" in n["id"]]
    assert g.nodes[PAGE]["hosts"] == ["vm-2"] and g.nodes[PAGE]["version"] == "v1"
    # A workload that nobody talks to is there all the same.
    assert g.nodes["w:bookinfo/reviews-v3"]["idle"] is True


def test_a_waypoint_appears_and_is_folded_into_the_edge(ui, mesh):
    ui.settle()
    mesh.add_waypoint()
    wait_for(lambda: len(ui.targets()) == 7, what="the waypoint is a target")
    ui.settle()
    mesh.weights = (90, 10, 0)
    mesh.step(200)
    ui.seen()
    g = ui.graph()
    requests = [g.total((PAGE, r), "requests") for r in REVIEWS[:2]]
    assert sum(requests) == 200 and requests[0] > requests[1]
    # The client's connections to the waypoint are on the edges to the servers, each once.
    assert sum(g.total((PAGE, r), "connections") for r in REVIEWS[:2]) == 200
    edge = g.edges[(PAGE, REVIEWS[0])]
    assert edge["via"] == [WAYPOINT] and edge["reporter"] == "waypoint" and edge["protocol"] == "http"
    assert abs(edge["share"] - requests[0] / 200) < 0.001
    assert 0 < edge["traffic"]["p50"] <= edge["traffic"]["p95"] <= edge["traffic"]["p99"] < 250
    assert g.nodes[REVIEWS[0]]["waypoint"] == WAYPOINT
    detail = ui.api(f"edge?window=3600&id={edge['id']}")
    assert [h["kind"] for h in detail["hops"]] == ["client", "waypoint", "server"]
    # Shown, it stands between.
    shown = ui.graph(waypoints="shown")
    assert shown.total((PAGE, "wp:" + WAYPOINT), "requests") == 200
    assert (PAGE, REVIEWS[0]) not in shown.edges
    assert shown.total(("wp:" + WAYPOINT, REVIEWS[0]), "requests") == requests[0]
    # By identity the versions are one node.
    level = ui.graph(level="service")
    assert level.total(("id:bookinfo/bookinfo-productpage", "id:bookinfo/bookinfo-reviews"), "requests") == 200
    # And the page can say why.
    (w,) = ui.api("waypoints")["items"]
    assert w["managed"] and w["ready"] and w["services"] == ["reviews.bookinfo.svc.cluster.local"]
    assert w["reasons"][0]["object"] == "RouteTable bookinfo/reviews" and "weight" in w["reasons"][0]["text"]
    events = [(e["verb"], e["kind"], e["name"]) for e in ui.api("events")["items"]]
    assert ("added", "RouteTable", "reviews") in events and ("added", "Gateway", fake_mesh.WAYPOINT) in events


def test_errors_and_denials_are_told(ui, mesh):
    mesh.add_waypoint()
    wait_for(lambda: len(ui.targets()) == 7, what="the waypoint is a target")
    ui.settle()
    mesh.weights, mesh.fault, mesh.denied = (0, 100, 0), 1.0, 1.0
    mesh.step(50)
    ui.seen()
    g = ui.graph()
    t = g.edges[(PAGE, REVIEWS[1])]["traffic"]
    assert t["errorRate"] == 1 and list(t["codes"]) == ["503"]
    assert g.total((CLIENT, RATINGS), "denied") == 50
    assert g.edges[(CLIENT, RATINGS)]["traffic"]["errorRate"] == 1
    series = ui.api(f"series?window=60&edge={g.edges[(PAGE, REVIEWS[1])]['id']}")
    # Points are rates over one tick of a second each.
    assert round(sum(v or 0 for v in series["requests"])) == 50
    assert round(sum(v or 0 for v in series["errors"])) == 50
    assert len({len(series[k]) for k in series}) == 1
    total = ui.api("series?window=60")
    assert round(sum(v or 0 for v in total["requests"])) == 50


def test_a_proxy_that_restarts_adds_no_more_than_it_counted(ui, mesh):
    ui.settle()
    mesh.step(60)
    ui.seen()
    for t in mesh.targets.values():
        t.restart()
    mesh.step(5)
    ui.seen()
    assert ui.graph().total((CLIENT, PAGE), "connections") == 65


def test_open_connections_follow_the_counters_down(ui, mesh):
    ui.settle()
    labels = mesh.labels("destination", mesh.ratings, mesh.redis, mesh.redis)
    mesh.count_tcp(mesh.targets["vm-6"], labels, 4, 10, 10, close=False)
    ui.seen()
    assert ui.graph().edges[(RATINGS, REDIS)]["traffic"]["open"] == 4
    mesh.targets["vm-6"].add("istio_tcp_connections_closed_total", labels, 3)
    ui.seen()
    assert ui.graph().edges[(RATINGS, REDIS)]["traffic"]["open"] == 1


def test_a_target_that_fails_is_named_and_harms_nobody(ui, mesh):
    ui.settle()
    mesh.targets["vm-5"].stop()
    mesh.targets["vm-4"].broken = b'istio_requests_total{reporter="destination" 1\n'
    wait_for(lambda: sum(not t["up"] for t in ui.targets().values()) == 2, what="two targets are down")
    assert all(ui.targets()[n]["message"] for n in ("vm-4", "vm-5"))
    mesh.step(10)
    ui.seen()
    g = ui.graph()
    assert g.doc["targets"] == {"up": 4, "total": 6}
    assert g.total((CLIENT, PAGE), "connections") == 10


def test_what_was_counted_survives_a_restart_of_the_role(ui, mesh):
    ui.settle()
    mesh.step(30)
    ui.seen()
    assert ui.stop() == 0
    mesh.step(1000)  # nobody saw this happen, so nobody tells when it did
    ui.start()
    ui.settle()
    mesh.step(12)
    ui.seen()
    assert ui.graph().total((CLIENT, PAGE), "connections") == 42


def test_the_past_can_be_asked_for(ui, mesh):
    ui.settle()
    before = ui.graph().doc["time"] // 1000
    mesh.step(20)
    ui.seen()
    after = ui.graph().doc["time"] // 1000
    assert ui.api(f"graph?window=5&at={before}")["edges"] == []
    assert ui.api(f"graph?window={after - before}&at={after}")["edges"] != []


def test_only_what_is_ours_is_served(ui):
    status, headers, body = ui.get("/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff" and "access-control-allow-origin" not in headers
    assert ui.get("/", {"If-None-Match": headers["etag"]})[0] == 304
    assert ui.get("/", {"Host": "evil.example"})[0] == 403
    assert ui.get("/", {"Host": f"localhost:{ui.port}"})[0] == 200
    status, headers, _ = ui.get("/api/graph", method="POST")
    assert status == 405 and headers["allow"] == "GET, HEAD"
    status, headers, body = ui.get("/", method="HEAD")
    assert status == 200 and body == b"" and int(headers["content-length"]) > 0
    assert ui.get("/../etc/passwd")[0] == 404
    assert ui.get("/api/nothing")[0] == 404
    for bad in ("graph?window=x", "graph?waypoints=maybe", "series?window=99999999999", "graph?window=%zz"):
        status, _, body = ui.get("/api/" + bad)
        assert status == 400 and json.loads(body)["error"], bad
    status, _, body = ui.get("/api/edge?id=e0000")
    assert status == 404 and "e0000" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "section, told",
    [
        ("listen: nowhere", "listen"),
        ("scrapeInterval: 1500ms", "scrapeInterval"),
        ("historyHours: 0", "historyHours"),
        ("api: ftp://x", "api"),
        ("targets: [{address: 10.0.0.1}]", "targets"),
        ("lissten: ':1'", "listen"),
    ],
)
def test_a_bad_section_is_refused_with_its_place(tmp_path, section, told):
    f = tmp_path / "a.yaml"
    f.write_text(
        "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata: {name: t}\nspec:\n  roles: [metrics-ui]\n"
        f"  runDir: {tmp_path}/run\n  stateDir: {tmp_path}/state\n  metricsUi:\n    {section}\n"
    )
    r = subprocess.run([AMBIT, "run", "-c", f, "--role-dir", ROLES], capture_output=True, text=True, timeout=20)
    assert r.returncode == 2, r.stderr
    assert told in r.stderr
