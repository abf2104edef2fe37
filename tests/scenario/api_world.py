"""A control plane on its own, and how tests talk to it: http.client over the Unix socket, TLS with tokens, kubectl."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
AMBIT = os.environ.get("AMBIT", str(BUILD / "ambit"))
ROLE_DIR = os.environ.get("AMBIT_ROLE_DIR", str(BUILD / "modules" / ".libs"))
EXTERNAL = Path(os.environ.get("AMBIT_EXTERNAL", ROOT.parent / "shared" / "external"))
KUBECTL = shutil.which("kubectl")

HEAD = """apiVersion: ambit.mesh/v1alpha1
kind: Appliance
metadata: {{name: cp}}
spec:
  roles: [control-plane]
  runDir: {d}/run
  stateDir: {d}/state
  controlPlaneServer: {{xds: "127.0.0.1:0", api: "127.0.0.1:0", historyRevisions: 100}}
"""

VS = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
SVC = "/api/v1/namespaces/default/services"
SA = "/api/v1/namespaces/default/serviceaccounts"


def wait_for(condition, deadline=20.0, what="condition"):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=20):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    def __init__(self, folder, resources=""):
        self.folder = folder
        self.config = folder / "ambit.yaml"
        self.config.write_text(HEAD.format(d=folder) + resources)
        self.socket = folder / "run" / "api.sock"
        self.state = folder / "state" / "control-plane"
        self.process = None

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [AMBIT, "run", "-c", self.config, "--role-dir", ROLE_DIR], stdout=self.log, stderr=self.log
        )
        wait_for(self.is_up, what="the API")
        return self

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.get("/readyz", raw=True)[0] == 200
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            code = self.process.wait(timeout=30)
            self.process = None
            self.log.close()
            return code
        return 0

    def request(self, method, path, body=None, headers=None, raw=False):
        c = UnixConnection(self.socket)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        c.request(method, path, body, headers)
        r = c.getresponse()
        data = r.read()
        c.close()
        return (r.status, data) if raw else (r.status, json.loads(data))

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def patch(self, path, body, kind="merge", **more):
        headers = {"content-type": f"application/{kind}-patch+json"}
        return self.request("PATCH", path, body if isinstance(body, str) else json.dumps(body), headers, **more)

    def token(self, name="admin"):
        return (self.state / f"{name}.token").read_text().strip()

    def url(self):
        return re.search(r"server: https://([0-9.]+):(\d+)", (self.state / "kubeconfig").read_text())

    def tls(self, headers, method="GET", path="/api/v1/services", body=None):
        m = self.url()
        roots = base64.b64decode(re.search(r"authority-data: (\S+)", (self.state / "kubeconfig").read_text())[1])
        context = ssl.create_default_context(cadata=roots.decode())
        c = http.client.HTTPSConnection(m[1], int(m[2]), context=context, timeout=20)
        c.request(method, path, body, headers)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data

    def kubectl(self, *args, data=None, check=True):
        p = subprocess.run(
            [KUBECTL, f"--kubeconfig={self.state / 'kubeconfig'}", f"--cache-dir={self.folder / 'cache'}", *args],
            input=data,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or p.returncode == 0, p.stderr
        return p


def service(name="a", port=80, **meta):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **meta},
        "spec": {"ports": [{"port": port}], "selector": {"app": name}},
    }


def account(name):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def route(name="r", host="a"):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    }
