#!/usr/bin/python3
"""fake_mesh.py -- proxies and a control plane as the metrics-ui role sees them: /metrics of several targets whose counters grow with
a steady load in Bookinfo's shape, and the few lists and watches of the resource API that the role reads.  Everything on loopback.

As a program: fake_mesh.py [--waypoint] prints one JSON line with the configuration to run the role with, then serves until killed.
"""
import http.server
import json
import random
import socket
import sys
import threading
import time
import urllib.parse

BUCKETS = [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000]
TD = "spiffe://cluster.local/ns/%s/sa/%s"
WAYPOINT = "waypoint-bookinfo-reviews"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Workload:
    def __init__(self, namespace, app, version, host, account=None):
        self.namespace, self.app, self.version, self.host = namespace, app, version, host
        self.name = app if version in ("", "latest") else "%s-%s" % (app, version)
        self.account = account or app
        self.principal = TD % (namespace, self.account)

    def labels(self, side):
        return {
            side + "_workload": self.name,
            side + "_canonical_service": self.app,
            side + "_canonical_revision": self.version or "latest",
            side + "_workload_namespace": self.namespace,
            side + "_principal": self.principal,
            side + "_app": self.app,
            side + "_version": self.version or "latest",
            side + "_cluster": "edge",
        }


def unknown(side):
    keys = Workload("", "", "", "").labels(side)
    return {k: "unknown" for k in keys}


class Target:
    """One proxy: counters by name and labels, served as OpenMetrics text."""

    def __init__(self, name, role, gateway=""):
        self.name, self.role, self.gateway = name, role, gateway
        self.port = free_port()
        self.lock = threading.Lock()
        self.series = {}
        self.broken = None
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = target.text() if target.broken is None else target.broken
                self.send_response(200)
                self.send_header("content-type", "application/openmetrics-text; version=1.0.0")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, metric, labels, amount):
        key = (metric, tuple(labels.items()))
        with self.lock:
            self.series[key] = self.series.get(key, 0) + amount

    def restart(self):
        with self.lock:
            self.series = {}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def text(self):
        out = []
        with self.lock:
            for (metric, labels), value in self.series.items():
                text = ",".join('%s="%s"' % (k, str(v).replace("\\", "\\\\").replace('"', '\\"')) for k, v in labels)
                out.append("%s{%s} %s" % (metric, text, value))
        return ("\n".join(out) + "\n# EOF\n").encode()


class Mesh:
    def __init__(self):
        w = Workload
        self.client = w("load", "client", "v1", "vm-1")
        self.productpage = w("bookinfo", "productpage", "v1", "vm-2", "bookinfo-productpage")
        self.details = w("bookinfo", "details", "v1", "vm-3", "bookinfo-details")
        self.reviews = [w("bookinfo", "reviews", v, h, "bookinfo-reviews") for v, h in (("v1", "vm-3"), ("v2", "vm-4"), ("v3", "vm-4"))]
        self.ratings = w("bookinfo", "ratings", "v1", "vm-5", "bookinfo-ratings")
        self.redis = w("data", "redis", "latest", "vm-6")
        self.waypoint = w("bookinfo", WAYPOINT, "latest", "vm-3")
        self.workloads = [self.client, self.productpage, self.details, *self.reviews, self.ratings, self.redis]
        self.targets = {"vm-%d" % i: Target("vm-%d" % i, "ztunnel") for i in range(1, 7)}
        self.wp_target = None
        self.weights = (80, 20, 0)
        self.fault = 0.0
        self.denied = 0.0
        self.rps = 20.0
        self.version = 1
        self.objects = {}
        self.changes = []
        self.changed = threading.Condition()
        self.api_port = free_port()
        self.random = random.Random(7)
        self._base_objects()
        self._serve_api()

    # --- what the proxies count ---

    def service_labels(self, workload):
        return {
            "destination_service": "%s.%s.svc.cluster.local" % (workload.app, workload.namespace),
            "destination_service_namespace": workload.namespace,
            "destination_service_name": workload.app,
        }

    def labels(self, reporter, src, dst, service, flags="-", security="mutual_tls", protocol="tcp"):
        out = {"reporter": reporter}
        out.update(src.labels("source") if src else unknown("source"))
        out.update(self.service_labels(service) if service else {})
        out.update(dst.labels("destination") if dst else unknown("destination"))
        out.update({"request_protocol": protocol, "response_flags": flags, "connection_security_policy": security})
        return out

    def count_tcp(self, target, labels, connections, received, sent, close=True, flags="-"):
        target.add("istio_tcp_connections_opened_total", labels, connections)
        if close:
            ended = dict(labels, response_flags=flags)
            target.add("istio_tcp_connections_closed_total", ended, connections)
            if flags != "-":
                target.add("istio_tcp_connections_failed_total", ended, connections)
        target.add("istio_tcp_received_bytes_total", labels, received)
        target.add("istio_tcp_sent_bytes_total", labels, sent)

    def direct(self, src, dst, connections, received, sent, close=True, denied=False):
        flags = ("CONNECT", "DENY") if denied else ("-", "-")
        for reporter, host, flag in (("source", src, flags[0]), ("destination", dst, flags[1])):
            self.count_tcp(self.targets[host.host], self.labels(reporter, src, dst, dst), connections, received, sent, close or denied, flag)

    def request(self, src, dst, ms, code):
        labels = self.labels("waypoint", src, dst, dst, protocol="http")
        labels["response_code"] = code
        labels["grpc_response_status"] = ""
        t = self.wp_target
        t.add("istio_requests_total", labels, 1)
        for b in BUCKETS:
            if ms <= b:
                t.add("istio_request_duration_milliseconds_bucket", dict(labels, le=b), 1)
            else:
                t.add("istio_request_duration_milliseconds_bucket", dict(labels, le=b), 0)
        t.add("istio_request_duration_milliseconds_bucket", dict(labels, le="+Inf"), 1)
        t.add("istio_request_duration_milliseconds_sum", labels, ms)
        t.add("istio_request_duration_milliseconds_count", labels, 1)
        t.add("istio_request_bytes_sum", labels, 120)
        t.add("istio_response_bytes_sum", labels, 480)

    def step(self, pages):
        """So many page views at once."""
        r = self.random
        for _ in range(pages):
            self.direct(self.client, self.productpage, 1, 400, 7700)
            self.direct(self.productpage, self.details, 1, 200, 900)
            version = r.choices(self.reviews, self.weights)[0]
            if self.wp_target is None:
                self.direct(self.productpage, version, 1, 220, 1100)
            else:
                failed = r.random() < self.fault
                ms = r.lognormvariate(2.2, 0.6) + (15 if version.version == "v3" else 0)
                self.count_tcp(self.targets["vm-2"], self.labels("source", self.productpage, self.waypoint, version), 1, 260, 1200)
                self.request(self.productpage, version, ms, 503 if failed else 200)
                self.count_tcp(self.targets[version.host], self.labels("destination", self.waypoint, version, version), 1, 260, 1200)
            if version.version != "v1":
                self.direct(version, self.ratings, 1, 180, 300)
                self.direct(self.ratings, self.redis, 1, 60, 40)
            if r.random() < self.denied:
                self.direct(self.client, self.ratings, 1, 0, 0, denied=True)

    def run(self, until=None):
        last, owed = time.monotonic(), 0.0
        while until is None or not until.is_set():
            time.sleep(0.25)
            now = time.monotonic()
            owed += (now - last) * self.rps
            last = now
            self.step(int(owed))
            owed -= int(owed)

    # --- what the control plane says ---

    def put(self, kind, namespace, name, spec=None, status=None, labels=None, annotations=None):
        with self.changed:
            self.version += 1
            key = (kind, namespace, name)
            old = self.objects.get(key)
            meta = {"name": name, "resourceVersion": str(self.version), "labels": labels or {}, "annotations": annotations or {}}
            meta["generation"] = 1 if old is None else old["metadata"]["generation"] + (old["spec"] != (spec or {}))
            if namespace:
                meta["namespace"] = namespace
            self.objects[key] = {"kind": kind, "metadata": meta, "spec": spec or {}, "status": status or {}}
            self.changes.append((self.version, kind, "ADDED" if old is None else "MODIFIED", self.objects[key]))
            self.changed.notify_all()

    def remove(self, kind, namespace, name):
        with self.changed:
            self.version += 1
            self.changes.append((self.version, kind, "DELETED", self.objects.pop((kind, namespace, name))))
            self.changed.notify_all()

    def put_host(self, target, connected=True):
        proxy = {"addresses": ["127.0.0.1"], "role": target.role, "metricsPort": target.port, "connected": connected}
        if target.gateway:
            proxy["gateway"] = target.gateway
        self.put("Host", "", target.name, status={"proxies": [proxy], "connected": connected})

    def _base_objects(self):
        for t in self.targets.values():
            self.put_host(t)
        for w in self.workloads:
            self.put(
                "WorkloadEntry", w.namespace, "%s-%s" % (w.host, w.name),
                {"address": "127.0.0.1", "serviceAccount": w.account, "labels": {"app": w.app, "version": w.version}},
                annotations={"ambit.mesh/host": w.host, "ambit.mesh/workload": w.name},
            )
        for w in {(w.namespace, w.app) for w in self.workloads}:
            self.put("Service", w[0], w[1], {"ports": [{"port": 9080}]})

    def add_waypoint(self):
        """A route for reviews was applied, and the manager made its waypoint."""
        self.put("RouteTable", "bookinfo", "reviews", {"http": []})
        reasons = [{"kind": "RouteTable", "namespace": "bookinfo", "name": "reviews", "field": "spec.http[0].forwardTo",
                    "service": "reviews.bookinfo.svc.cluster.local", "text": "RouteTable bookinfo/reviews splits HTTP requests by weight.",
                    "security": False}]
        self.put(
            "Gateway", "bookinfo", WAYPOINT, {"gatewayClassName": "istio-waypoint"},
            {"addresses": [{"value": "127.0.0.1"}], "conditions": [{"type": "Programmed", "status": "True"}]},
            {"ambit.mesh/managed": "true"}, {"ambit.mesh/reasons": json.dumps(reasons)},
        )
        self.wp_target = Target("vm-3-" + WAYPOINT, "waypoint", "bookinfo/" + WAYPOINT)
        self.put_host(self.wp_target)
        self.put("WorkloadEntry", "bookinfo", WAYPOINT + "-vm-3", {"address": "127.0.0.1", "serviceAccount": WAYPOINT},
                 annotations={"ambit.mesh/host": "vm-3", "ambit.mesh/workload": WAYPOINT, "ambit.mesh/role": "waypoint"})

    def _serve_api(self):
        mesh = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlparse(self.path)
                query = urllib.parse.parse_qs(url.query)
                plural = url.path.rsplit("/", 1)[-1]
                kind = {"hosts": "Host", "services": "Service", "workloadentries": "WorkloadEntry", "gateways": "Gateway",
                        "routetables": "RouteTable"}.get(plural)
                if kind is None:
                    self.send_error(404)
                elif "watch" in query:
                    self.watch(kind, int(query["resourceVersion"][0]))
                else:
                    with mesh.changed:
                        items = [o for (k, _, _), o in mesh.objects.items() if k == kind]
                        body = json.dumps({"metadata": {"resourceVersion": str(mesh.version)}, "items": items}).encode()
                    self.send_response(200)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def watch(self, kind, since):
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                while True:
                    with mesh.changed:
                        mesh.changed.wait_for(lambda: mesh.version > since)
                        news = [(t, o) for v, k, t, o in mesh.changes if v > since and k == kind]
                        since = mesh.version
                    for verb, o in news:
                        line = json.dumps({"type": verb, "object": o}).encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()

            def log_message(self, *args):
                pass

        server = Server(("127.0.0.1", self.api_port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def config(mesh, folder, port, interval="1s"):
    """The YAML of a process that runs the role against this mesh."""
    return """apiVersion: ambit.mesh/v1alpha1
kind: Appliance
metadata: {name: ui-test}
spec:
  roles: [metrics-ui]
  stateDir: %s/state
  runDir: %s/run
  metricsUi:
    listen: "127.0.0.1:%d"
    scrapeInterval: %s
    api: http://127.0.0.1:%d
""" % (folder, folder, port, interval, mesh.api_port)


if __name__ == "__main__":
    m = Mesh()
    if "--waypoint" in sys.argv:
        m.add_waypoint()
        m.weights, m.fault, m.denied = (70, 20, 10), 0.04, 0.05
    print(json.dumps({"api": "http://127.0.0.1:%d" % m.api_port}), flush=True)
    m.run()
