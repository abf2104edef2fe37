#!/usr/bin/python3
"""bench_l4.py -- what carrying TCP through the mesh costs: two Ambit ztunnels in a row, against HAProxy doing mutual TLS with two
instances, and against a bare connection.  One worker each, network namespaces on a veth pair, one run, numbers only.

CPU is what the proxies' threads used (/proc/PID/task/*/schedstat), so a busy machine disturbs latency but hardly these numbers;
of several rounds the cheapest counts.  Needs root, haproxy, and a build: AMBIT_BUILD=build /usr/bin/python3 tests/bench/bench_l4.py [--rounds 3]
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "scenario"))
from zt_world import BUILD, World, inside  # noqa: E402

VIP, A, B = "240.240.0.10", "10.77.0.1", "10.77.0.2"  # two hosts of the mesh
C, D = "10.77.0.3", "10.77.0.4"  # and two outside
CLIENT = {"name": "client", "namespace": "app", "serviceAccount": "client", "select": {"user": "0"}}
SERVER = {"name": "server", "namespace": "app", "serviceAccount": "server", "select": {"user": "0"}, "ports": [{"port": 9000}]}

HAPROXY = """global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen l
"""

#        name             load arguments (X, P: address and port)          what one unit is        how much it is, from the result
GB, EACH = (lambda r: r["bytes"] / 1e9), (lambda r: r["count"] / 1e6)
LOADS = [
    ("upload, 1 connection", ["up", "X", "P", "1", "2000000000"], "s/GB", GB),
    ("download, 1 connection", ["down", "X", "P", "1", "2000000000"], "s/GB", GB),
    ("upload, 16 connections", ["up", "X", "P", "16", "2000000000"], "s/GB", GB),
    ("100 B requests, 1 connection", ["echo", "X", "P", "1", "20000", "100"], "µs/request", EACH),
    ("100 B requests, 64 connections", ["echo", "X", "P", "64", "60000", "100"], "µs/request", EACH),
    ("16 KB requests, 16 connections", ["echo", "X", "P", "16", "30000", "16384"], "µs/request", EACH),
    ("new connections, 8 at a time", ["connect", "X", "P", "8", "4000", "100"], "µs/connection", EACH),
]


def cpu_ns(pid):
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks.iterdir())


def rss_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


class Way:
    """One way from the client to the server: where to connect, and whose CPU counts (nsenter runs a program in its own place)."""

    def __init__(self, name, host, address, port, processes):
        self.name, self.host, self.address, self.port = name, host, address, port
        self.pids = [p.pid for p in processes]

    def cpu(self):
        return sum(cpu_ns(p) for p in self.pids)

    def rss(self):
        return sum(rss_kib(p) for p in self.pids)


def haproxy(world, name, host, bind, server):
    path = host.folder / f"{name}.cfg"
    path.write_text(HAPROXY + f"  bind {bind}\n  server s {server}\n")
    p = host.popen("haproxy", "-db", "-f", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    world.closing.append(p.terminate)
    return p


def start_haproxies(world):
    for name, sa in (("a", "client"), ("b", "server")):
        key, cert = world.ca.issue(f"spiffe://cluster.local/ns/app/sa/{sa}")
        (world.folder / f"{name}.pem").write_text(cert + key)
    (world.folder / "ca.pem").write_text(world.ca.pem)
    pem = world.folder
    tls = f"ca-file {pem}/ca.pem ssl-min-ver TLSv1.3 alpn h2 verify required"
    d = haproxy(world, "server", world.d, f"{D}:9101 ssl crt {pem}/b.pem {tls} no-tls-tickets", "127.0.0.1:9000")
    c = haproxy(world, "client", world.c, f"{C}:9100", f"{D}:9101 ssl crt {pem}/a.pem {tls} no-ssl-reuse")
    return Way("HAProxy mTLS ×2", world.c, C, 9100, [c, d])


def start_ztunnels(world):
    world.workload("client", "app", "client", A)
    world.workload("server", "app", "server", B, {"app/server.app.svc.cluster.local": {80: 9000}})
    world.service("server", "app", VIP, {80: 9000})
    a = world.a.start([CLIENT]).process
    b = world.b.start([SERVER]).process
    return Way("Ambit ztunnel ×2", world.a, VIP, 80, [a, b])


def run(world, load, way, arguments):
    words = [way.address if w == "X" else str(way.port) if w == "P" else w for w in arguments]
    before = way.cpu()
    r = way.host.run(load, *words, check=False)
    used = way.cpu() - before
    if r.returncode != 0:
        print(f"  {way.name}: {' '.join(words)}: {r.stdout} {r.stderr}", file=sys.stderr)
    return json.loads(r.stdout), used


def idle_cost(world, way, count):
    """KiB per idle connection that has carried one request, in both proxies together."""
    before, held = way.rss(), []
    hello = b"E\0\0\0" + (100).to_bytes(4, sys.byteorder) + bytes(8) + b"x" * 100
    with inside(way.host.netns):
        for _ in range(count):
            s = socket.create_connection((way.address, way.port), 10)
            s.sendall(hello)
            held.append(s)
    for s in held:
        got = 0
        while got < 100:
            got += len(s.recv(100))
    time.sleep(0.5)
    cost = (way.rss() - before) / count
    for s in held:
        s.close()
    return cost


def measure(world, load, ways, rounds, only):
    rows = []
    for name, arguments, unit, amount in LOADS:
        if only and only not in name:
            continue
        best = {}
        for _ in range(rounds):
            for way in ways:
                r, used = run(world, load, way, arguments)
                n = amount(r)
                if n <= 0:
                    continue
                entry = (used / 1e9 / n, n / r["seconds"], r["p50"], r["p99"])
                old = best.get(way.name, entry)
                best[way.name] = (min(old[0], entry[0]), max(old[1], entry[1]), min(old[2], entry[2]), min(old[3], entry[3]))
        rows.append((name, unit, best))
        print(f"{name}: " + "; ".join(f"{k}: {v[0]:.3f} {unit}" for k, v in best.items()), file=sys.stderr)
    return rows


def table(rows, ways, idle, base):
    print("| load | unit | " + " | ".join(w.name for w in ways if w.pids) + " | ratio |")
    print("|---|---|" + "---:|" * (sum(1 for w in ways if w.pids) + 1))
    proxies = [w.name for w in ways if w.pids]
    for name, unit, best in rows:
        cells = [f"{best[w][0]:.3f}" if unit == "s/GB" else f"{best[w][0]:.1f}" for w in proxies if w in best]
        ratio = best[proxies[-1]][0] / best[proxies[0]][0] if len(proxies) > 1 and proxies[0] in best else 0
        print(f"| CPU: {name} | {unit} | {' | '.join(cells)} | {ratio:.2f} |")
    print("| memory per idle connection | KiB | " + " | ".join(f"{idle[w]:.1f}" for w in proxies) + " | |")
    print("| memory at start | MiB | " + " | ".join(f"{base[w] / 1024:.1f}" for w in proxies) + " | |")
    print()
    print("| load | " + " | ".join(f"{w.name}: rate, p50, p99" for w in ways) + " |")
    print("|---|" + "---:|" * len(ways))
    for name, unit, best in rows:
        cells = []
        for w in ways:
            cpu, rate, p50, p99 = best[w.name]
            cells.append(f"{rate:.2f} GB/s" if unit == "s/GB" else f"{rate * 1e6:,.0f}/s, {p50} µs, {p99} µs")
        print(f"| {name} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="loads whose name has this")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections to hold for the memory row")
    parser.add_argument("--hold", action="store_true", help="stand until Enter, to profile by hand")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    subprocess.run(["make", "-s", "-C", str(BUILD), "tests/bench/load"], check=True, stdout=sys.stderr)
    load = BUILD / "tests" / "bench" / "load"
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        world = World(folder)
        try:
            world.a, world.b = world.host("a", A), world.host("b", B)
            world.c, world.d = world.host("c", C), world.host("d", D)
            for host in (world.b, world.d):
                world.closing.append(host.popen(load, "serve", "9000").terminate)
            ways = [Way("bare", world.c, D, 9000, []), start_haproxies(world), start_ztunnels(world)]
            time.sleep(0.5)
            base = {w.name: w.rss() for w in ways}
            if options.hold:
                print(" ".join(f"{w.name}: {w.address}:{w.port} {w.pids}" for w in ways))
                print(f"clients: nsenter --net=/run/netns/{world.a.netns} (or {world.c.netns}) {load}")
                input()
                return
            rows = measure(world, load, ways, options.rounds, options.only)
            idle = {w.name: idle_cost(world, w, options.idle) for w in ways if w.pids}
            table(rows, ways, idle, base)
        finally:
            world.close()


if __name__ == "__main__":
    main()
