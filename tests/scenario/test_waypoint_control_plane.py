"""A waypoint under a real control plane: joins with a token, gets its certificate and its configuration, follows changes, and goes on
without it."""

import json
import os
import subprocess
import time

import pytest
from stock_ztunnel import AMBIT, ControlPlane, free_port, wait_for
from waypoint_peer import ROLES, Echo, Waypoint

NAMESPACE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: %d}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1, namespace: shop}
spec: {address: 127.0.0.1, labels: {app: web, version: v1}, serviceAccount: web}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""
LABEL = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: wp}}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: %d}]}
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: web}}]
  - route: [{destination: {host: web}}]
    headers: {request: {set: {x-routed: "%s"}}}
"""
DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  action: DENY
  rules: [{to: [{operation: {paths: ["/admin*"]}}]}]
"""
LUA = """
apiVersion: ambit.mesh/v1alpha1
kind: LuaPolicy
metadata: {name: lab, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  source: |
    function on_response(res) res:set_header("x-ambit-lab", "1") end
"""


class Joined(Waypoint):
    def __init__(self, folder, cp, token):
        self.folder, self.log = folder, folder / "access.log"
        self.port, self.metrics_port, self.ready_port = free_port(), free_port(), free_port()
        (folder / "token").write_text(token)
        (folder / "root.pem").write_bytes(cp.root)
        self.config = folder / "ambit.yaml"
        self.config.write_text(json.dumps({
            "apiVersion": "ambit.mesh/v1alpha1",
            "kind": "Appliance",
            "metadata": {"name": "edge"},
            "spec": {
                "roles": ["waypoint"],
                "runDir": f"{folder}/run",
                "stateDir": f"{folder}/state",
                "workers": 2,
                "host": {"addresses": ["127.0.0.1"]},
                "controlPlane": {"address": f"127.0.0.1:{cp.port}", "tokenFile": f"{folder}/token", "caFile": f"{folder}/root.pem"},
                "waypoint": {
                    "gateway": "shop/wp", "hbonePort": 0, "address": "127.0.0.1", "statusAddress": "127.0.0.1",
                    "metricsPort": self.metrics_port, "readinessPort": self.ready_port, "accessLog": str(self.log),
                    "listen": [{"port": self.port, "address": "127.0.0.1", "host": "shop/web.shop.svc.cluster.local", "hostPort": 80}],
                },
            },
        }))
        self.begin()

    def begin(self):
        self.errors = open(self.folder / "stderr", "a+")
        self.process = subprocess.Popen([AMBIT, "run", "-c", self.config, "--role-dir", ROLES], stderr=self.errors, stdout=self.errors)

    def is_ready(self):
        assert self.process.poll() is None, self.stderr()
        return self.curl_raw(f"http://127.0.0.1:{self.ready_port}/healthz/ready")[0] == 200


@pytest.fixture
def mesh(tmp_path_factory):
    echo = Echo("v1")
    cp = ControlPlane(tmp_path_factory.mktemp("cp")).start()
    cp.apply(NAMESPACE % echo.port)
    token = cp.token(host="edge", identities=["shop/wp"], uses=1)
    w = Joined(tmp_path_factory.mktemp("wp"), cp, token)
    yield cp, w, echo
    cp.stop()
    echo.close()
    w.stop()


def soon(w, path, want, *args, deadline=10):
    """Until an answer is as wanted: want(status, headers, body)."""
    last = []

    def ask():
        last[:] = w.get(path, *args)
        return want(*last)

    try:
        wait_for(ask, deadline, path)
    except AssertionError:
        raise AssertionError(f"{path}: last {last}; {w.stderr()[-3000:]}") from None


def test_it_joins_follows_changes_and_goes_on_alone(mesh):
    cp, w, echo = mesh
    wait_for(w.is_ready, 20, "ready: " + w.stderr())
    cp.apply(LABEL % echo.port)
    cp.apply(ROUTE % "one")
    soon(w, "/", lambda s, h, b: s == 200 and json.loads(b)["headers"].get("x-routed") == "one")
    soon(w, "/", lambda s, h, b: (s, b) == (555, b"fault filter abort"), "-H", "end-user: jason")
    cp.apply(ROUTE % "two")
    soon(w, "/", lambda s, h, b: s == 200 and json.loads(b)["headers"].get("x-routed") == "two")
    cp.apply(DENY)
    soon(w, "/admin", lambda s, h, b: (s, b) == (403, b"RBAC: access denied"))
    assert w.get("/")[0] == 200
    cp.apply(LUA)
    soon(w, "/", lambda s, h, b: h.get("x-ambit-lab") == "1")
    cp.stop(kill=True)
    for _ in range(20):
        assert w.get("/")[0] == 200 and w.get("/admin")[0] == 403
    cp.start()
    cp.apply(ROUTE % "three")
    soon(w, "/", lambda s, h, b: s == 200 and json.loads(b)["headers"].get("x-routed") == "three", deadline=30)
    cp.delete("/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/no-admin")
    soon(w, "/admin", lambda s, h, b: s == 200)


def test_it_starts_again_from_its_kept_certificate(mesh):
    cp, w, echo = mesh
    wait_for(w.is_ready, 20, "ready")
    cp.apply(LABEL % echo.port)
    cp.apply(ROUTE % "one")
    soon(w, "/", lambda s, h, b: s == 200)
    os.remove(w.folder / "token")
    w.stop()
    w.begin()
    wait_for(w.is_ready, 20, "ready again: " + w.stderr())
    soon(w, "/", lambda s, h, b: s == 200 and json.loads(b)["headers"].get("x-routed") == "one")
