"""waypoint_peer.py -- a waypoint under test with foreign peers: its configuration written by protoc's Python, upstreams that echo
what they were asked, and curl as the client.  The waypoint's resources come from a file (spec.waypoint.localConfig)."""

import base64
import http.server
import importlib
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
AMBIT = os.environ.get("AMBIT", str(BUILD / "ambit"))
ROLES = os.environ.get("AMBIT_ROLE_DIR", str(BUILD / "modules" / ".libs"))
TYPE = "type.googleapis.com/"


def _load_protos():
    out = Path(tempfile.mkdtemp(prefix="ambit-proto-"))
    names = ["ambit/waypoint.proto", "ambit/workload.proto", "istio/workload.proto"]
    for name in [*names, "google/any.proto", "google/wrappers.proto"]:  # Python has google's under their own path
        text = (ROOT / "proto" / name).read_text().replace('"google/', '"google/protobuf/')
        to = out / name.replace("google/", "google/protobuf/")
        to.parent.mkdir(exist_ok=True, parents=True)
        to.write_text(text)
    subprocess.run(["protoc", f"-I{out}", f"--python_out={out}", *names], check=True)
    sys.path.insert(0, str(out))
    modules = [importlib.import_module(n.replace("/", ".").replace(".proto", "_pb2")) for n in names]
    shutil.rmtree(out)
    return modules


waypoint_pb2, labels_pb2, workload_pb2 = _load_protos()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Echo:
    """An HTTP/1.1 server that answers with what it was asked, as JSON, and does on request what the path or headers say."""

    def __init__(self, name, address="127.0.0.1"):
        self.name = name
        self.seen = []
        self.failures = 0  # answer that many requests with 503
        echo = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def body(self):
                if self.headers.get("transfer-encoding") == "chunked":
                    data = b""
                    while True:
                        size = int(self.rfile.readline().split(b";")[0], 16)
                        data += self.rfile.read(size)
                        self.rfile.readline()
                        if size == 0:
                            return data
                return self.rfile.read(int(self.headers.get("content-length", 0)))

            def answer(self):
                body = self.body()
                what = {
                    "name": echo.name,
                    "method": self.command,
                    "path": self.path,
                    "headers": {k.lower(): v for k, v in self.headers.items()},
                    "size": len(body),
                    "body": body[:200].decode("latin-1"),
                }
                echo.seen.append(what)
                status = 200
                if echo.failures > 0:
                    echo.failures -= 1
                    status = 503
                if "/status/" in self.path:
                    status = int(self.path.rsplit("/", 1)[1])
                if "/slow" in self.path:
                    time.sleep(1.0)
                if "/cut" in self.path:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                data = b"x" * int(self.path.rsplit("/", 1)[1]) if "/bytes/" in self.path else json.dumps(what).encode()
                self.send_response(status)
                self.send_header("x-upstream", echo.name)
                if "/chunked" in self.path:
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                    for i in range(0, len(data), 1000):
                        part = data[i : i + 1000]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    self.wfile.write(b"0\r\nx-trailer: end\r\n\r\n")
                    return
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_PATCH = answer

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # clients that go are no news

        self.server = Server((address, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Mesh:
    """Resources as the control plane would send them."""

    def __init__(self):
        self.resources = []

    def add(self, type_url, name, message):
        self.resources.append({"type": TYPE + type_url, "name": name, "body": base64.b64encode(message.SerializeToString()).decode()})

    def service(self, namespace, name, port=80, vip="240.240.0.1"):
        a = workload_pb2.Address()
        s = a.service
        s.name, s.namespace, s.hostname = name, namespace, f"{name}.{namespace}.svc.cluster.local"
        s.addresses.add(address=socket.inet_aton(vip))
        s.ports.add(service_port=port)
        s.canonical = True
        self.add("istio.workload.Address", f"{namespace}/{s.hostname}", a)
        return s.hostname

    def endpoint(self, namespace, service, name, port, service_port=80, labels=None, healthy=True, ip="127.0.0.1", hbone=False):
        a = workload_pb2.Address()
        w = a.workload
        w.uid = f"edge//{namespace}/{name}"
        w.name = w.workload_name = name
        w.namespace = namespace
        w.trust_domain, w.service_account = "cluster.local", service
        w.canonical_name, w.canonical_revision = service, (labels or {}).get("version", "latest")
        w.addresses.append(socket.inet_aton(ip))
        w.tunnel_protocol = 1 if hbone else 0
        w.status = 0 if healthy else 1
        w.network_mode = 1
        w.services[f"{namespace}/{service}.{namespace}.svc.cluster.local"].ports.add(service_port=service_port, target_port=port)
        if labels:
            l = labels_pb2.Labels()
            l.labels.update(labels)
            e = w.extensions.add()
            e.name = "ambit.labels"
            e.config.type_url = TYPE + "ambit.workload.Labels"
            e.config.value = l.SerializeToString()
        self.add("istio.workload.Address", w.uid, a)

    def host(self, namespace, name, port=80, protocol="HTTP", policies=(), lua=()):
        h = waypoint_pb2.Host(namespace=namespace, hostname=f"{name}.{namespace}.svc.cluster.local")
        h.ports.add(number=port, protocol=waypoint_pb2.Protocol.Value(protocol))
        h.policies.extend(policies)
        h.lua_policies.extend(lua)
        return h

    def add_host(self, h):
        self.add("ambit.waypoint.Host", f"{h.namespace}/{h.hostname}", h)

    def add_policy(self, p):
        self.add("ambit.waypoint.Policy", f"{p.namespace}/{p.name}", p)

    def add_lua(self, namespace, name, source, **hooks):
        p = waypoint_pb2.LuaPolicy(namespace=namespace, name=name, source=source, version="1", **hooks)
        self.add("ambit.waypoint.LuaPolicy", f"{namespace}/{name}", p)


class Waypoint:
    """One process with one plain listener in front of one host."""

    def __init__(self, folder, mesh, host, host_port=80, extra="", workers=2):
        self.port, self.metrics_port, self.ready_port = free_port(), free_port(), free_port()
        self.folder = Path(folder)
        self.log = self.folder / "access.log"
        (self.folder / "local.json").write_text(json.dumps({"resources": mesh.resources}))
        config = self.folder / "ambit.yaml"
        config.write_text(
            f"""apiVersion: ambit.mesh/v1alpha1
kind: Appliance
metadata: {{name: t}}
spec:
  roles: [waypoint]
  runDir: {folder}/run
  stateDir: {folder}/state
  workers: {workers}
  waypoint:
    metricsPort: {self.metrics_port}
    readinessPort: {self.ready_port}
    statusAddress: 127.0.0.1
    accessLog: {self.log}
    localConfig: {folder}/local.json
{extra}
    listen: [{{port: {self.port}, address: 127.0.0.1, host: "{host}", hostPort: {host_port}}}]
"""
        )
        self.errors = open(self.folder / "stderr", "w+")
        self.process = subprocess.Popen(
            [AMBIT, "run", "-c", config, "--role-dir", ROLES], stderr=self.errors, stdout=self.errors
        )
        end = time.monotonic() + 15
        while self.curl_raw(f"http://127.0.0.1:{self.ready_port}/healthz/ready")[0] != 200:
            assert self.process.poll() is None, self.stderr()
            assert time.monotonic() < end, "not ready: " + self.stderr()
            time.sleep(0.05)

    def stderr(self):
        return (self.folder / "stderr").read_text()

    def curl_raw(self, url, *args, timeout=20):
        """(status, headers as a dict, body)"""
        r = subprocess.run(
            ["curl", "-s", "-S", "--path-as-is", "-m", str(timeout), "-D", "-", *args, url], capture_output=True, timeout=timeout + 5
        )
        self.curl_code, self.curl_error = r.returncode, r.stderr.decode()
        out = r.stdout
        while True:  # skip interim heads
            head, _, body = out.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            if not lines[0].startswith("HTTP/"):
                return 0, {}, b""
            status = int(lines[0].split()[1])
            if status >= 200 or status == 101:
                break
            out = body
        return status, {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}, body

    def get(self, path, *args, **kwargs):
        return self.curl_raw(f"http://127.0.0.1:{self.port}{path}", *args, **kwargs)

    def asked(self, path, *args):
        """What the upstream was asked."""
        status, _, body = self.get(path, *args)
        assert status == 200, (status, body, self.stderr())
        return json.loads(body)

    def metrics(self):
        return self.curl_raw(f"http://127.0.0.1:{self.metrics_port}/metrics")[2].decode()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self.errors.close()
        assert self.process.returncode == 0, self.stderr()
