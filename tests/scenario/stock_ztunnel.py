"""A stock ztunnel's side of the control plane, played by python3-grpcio: delta ADS and CreateCertificate, and a control plane to try
them on."""

import http.client
import importlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
AMBIT = os.environ.get("AMBIT", str(BUILD / "ambit"))
ROLES = BUILD / "modules" / ".libs"

ADDRESS = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION = "type.googleapis.com/istio.security.Authorization"
HOST = "type.googleapis.com/ambit.waypoint.Host"
POLICY = "type.googleapis.com/ambit.waypoint.Policy"

_modules = None


def messages(folder):
    """Our .proto files as Python modules; named apart from google.protobuf's own."""
    global _modules
    if _modules is None:
        out = Path(folder) / "pb"
        out.mkdir()
        protos = sorted(str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto"))
        # Python's protobuf has google.protobuf.* built in and lets nobody define it twice.
        source, include = out / "src", out / "include"
        for name in protos:
            text = (ROOT / "proto" / name).read_text()
            text = text.replace('"google/status.proto"', '"ambitgoogle/status.proto"')
            for known in ("any", "struct", "duration", "empty", "wrappers"):
                text = text.replace(f'"google/{known}.proto"', f'"google/protobuf/{known}.proto"')
            if name.startswith("google/") and name != "google/status.proto":
                known = include / "google/protobuf" / Path(name).name
                known.parent.mkdir(parents=True, exist_ok=True)
                known.write_text(text)
                continue
            target = source / name.replace("google/", "ambitgoogle/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        subprocess.run(
            ["protoc", f"-I{source}", f"-I{include}", f"--python_out={out}"]
            + [str(p.relative_to(source)) for p in sorted(source.rglob("*.proto"))],
            check=True,
            cwd=source,
        )
        sys.path.insert(0, str(out))

        class Modules:
            ca = importlib.import_module("istio.ca_pb2")
            authorization = importlib.import_module("istio.authorization_pb2")
            workload = importlib.import_module("istio.workload_pb2")
            discovery = importlib.import_module("envoy.discovery_pb2")
            waypoint = importlib.import_module("ambit.waypoint_pb2")
            labels = importlib.import_module("ambit.workload_pb2")

        _modules = Modules
    return _modules


def wait_for(condition, deadline=10.0, what="condition"):
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class ControlPlane:
    """One process with the role control-plane, and its API by the Unix socket."""

    def __init__(self, folder, server="", resources=""):
        self.folder = Path(folder)
        self.port = free_port()
        self.server = server
        self.resources = resources
        self.process = None
        self.pb = messages(folder)

    def start(self):
        text = (
            "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata: {name: cp}\nspec:\n"
            f"  roles: [control-plane]\n  stateDir: {self.folder}/state\n  runDir: {self.folder}/run\n"
            f"  controlPlaneServer: {{xds: '127.0.0.1:{self.port}', api: ''{self.server}}}\n"
        )
        path = self.folder / "ambit.yaml"
        path.write_text(text + ("---\n" + self.resources if self.resources else ""))
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([AMBIT, "run", "-c", path, "--role-dir", ROLES], stderr=self.log)
        wait_for(self.is_up, 20, "the control plane is up")
        return self

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop(kill=True)
            raise

    def __exit__(self, kind, value, trace):
        self.stop(kill=kind is not None)

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self, kill=False):
        if self.process is None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(timeout=20)
        self.process = None
        self.log.close()
        if not kill:
            assert code == 0, f"exit {code}: " + (self.folder / "log").read_text()[-4000:]

    @property
    def root(self):
        return (self.folder / "state/control-plane/ca/root-cert.pem").read_bytes()

    def api(self, method, path, body=None, content_type="application/json"):
        conn = UnixConnection(str(self.folder / "run/api.sock"))
        headers = {"Content-Type": content_type} if body is not None else {}
        conn.request(method, path, json.dumps(body) if body is not None else None, headers)
        r = conn.getresponse()
        data = r.read()
        conn.close()
        return r.status, json.loads(data) if data else None

    def create(self, path, obj):
        status, out = self.api("POST", path, obj)
        assert status in (200, 201), out
        return out

    def get(self, path):
        status, out = self.api("GET", path)
        assert status == 200, out
        return out

    def delete(self, path):
        status, out = self.api("DELETE", path)
        assert status in (200, 202), out

    def put(self, path, obj):
        status, out = self.api("PUT", path, obj)
        assert status == 200, out
        return out

    def token(self, **spec):
        """A join token's text."""
        out = self.create(
            "/apis/ambit.mesh/v1alpha1/jointokens",
            {"apiVersion": "ambit.mesh/v1alpha1", "kind": "JoinToken", "metadata": {"generateName": "t-"}, "spec": spec},
        )
        return next(v for v in walk(out) if isinstance(v, str) and v.startswith("ambit1."))

    def apply(self, text):
        """Apply YAML by the command line's own way: through the API, object by object."""
        import yaml

        for doc in yaml.safe_load_all(text):
            if doc is None:
                continue
            group_version = doc["apiVersion"]
            base = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
            ns = doc["metadata"].setdefault("namespace", "default")
            kind = doc["kind"].lower()
            plural = kind[:-1] + "ies" if kind.endswith("cy") or kind.endswith("try") else kind + "s"
            url = f"{base}/namespaces/{ns}/{plural}/{doc['metadata']['name']}?fieldManager=test&force=true"
            status, out = self.api("PATCH", url, doc, "application/apply-patch+yaml")
            assert status in (200, 201), (url, out)


def walk(value):
    if isinstance(value, dict):
        for v in value.values():
            yield from walk(v)
    elif isinstance(value, list):
        for v in value:
            yield from walk(v)
    else:
        yield value


def make_csr(spiffe=None):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if spiffe:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe)]), critical=True)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return csr, pem


class Client:
    """Channel to the control plane, by token, by certificate, or by neither."""

    def __init__(self, cp, token=None, chain=None, key=None):
        self.cp = cp
        self.pb = cp.pb
        self.token = token
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        credentials = grpc.ssl_channel_credentials(cp.root, key, chain)
        self.channel = grpc.secure_channel(
            f"127.0.0.1:{cp.port}",
            credentials,
            [("grpc.ssl_target_name_override", "localhost"), ("grpc.max_receive_message_length", 200 << 20),
             ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)],
        )

    def certificate(self, csr, impersonate=None, ttl=0, timeout=10):
        call = self.channel.unary_unary(
            "/istio.v1.auth.IstioCertificateService/CreateCertificate",
            self.pb.ca.IstioCertificateRequest.SerializeToString,
            self.pb.ca.IstioCertificateResponse.FromString,
        )
        m = self.pb.ca.IstioCertificateRequest(csr=csr, validity_duration=ttl)
        if impersonate:
            m.metadata.update({"ImpersonatedIdentity": impersonate})
        return call(m, metadata=self.metadata, timeout=timeout)

    def stream(self, **node):
        return Stream(self, node)

    def close(self):
        self.channel.close()


class Stream:
    """One delta ADS stream; keeps what it was given, by type."""

    def __init__(self, client, node):
        self.pb = client.pb
        self.requests = queue.Queue()
        self.responses = queue.Queue()
        self.node = node
        self.held = {}
        self.error = None
        call = client.channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            self.pb.discovery.DeltaDiscoveryRequest.SerializeToString,
            self.pb.discovery.DeltaDiscoveryResponse.FromString,
        )
        self.call = call(iter(self.requests.get, None), metadata=client.metadata)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for r in self.call:
                self.responses.put(r)
        except grpc.RpcError as e:
            self.error = e
        self.responses.put(None)

    def subscribe(self, type_url, sub=(), unsub=(), versions=None, node=True):
        r = self.pb.discovery.DeltaDiscoveryRequest(type_url=type_url)
        if node:
            r.node.id = self.node.get("id", "ztunnel~10.0.0.1~ztunnel.istio-system~istio-system.svc.cluster.local")
            if self.node.get("metadata"):
                r.node.metadata.update(self.node["metadata"])
        r.resource_names_subscribe.extend(sub)
        r.resource_names_unsubscribe.extend(unsub)
        for k, v in (versions or {}).items():
            r.initial_resource_versions[k] = v
        self.requests.put(r)

    def answer(self, response, error=None):
        r = self.pb.discovery.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if error:
            r.error_detail.code = 3
            r.error_detail.message = error
        self.requests.put(r)

    def next(self, timeout=5.0):
        r = self.responses.get(timeout=timeout)
        if r is None:
            raise AssertionError(f"the stream ended: {self.error}")
        return r

    def take(self, type_url=None, timeout=5.0, ack=True):
        """The next response (of a type), remembered and acknowledged."""
        while True:
            r = self.next(timeout)
            held = self.held.setdefault(r.type_url, {})
            for x in r.resources:
                held[x.name] = x
            for name in r.removed_resources:
                held.pop(name, None)
            if ack:
                self.answer(r)
            if type_url is None or r.type_url == type_url:
                return r

    def until(self, type_url, condition, timeout=8.0):
        """Take responses until what is held of a type meets the condition."""
        end = time.monotonic() + timeout
        while not condition(self.held.get(type_url, {})):
            left = end - time.monotonic()
            assert left > 0, f"not within {timeout} s; held: {sorted(self.held.get(type_url, {}))}"
            try:
                self.take(None, left)
            except queue.Empty:
                continue
        return self.held[type_url]

    def is_quiet(self, seconds=0.5):
        try:
            return self.responses.get(timeout=seconds)
        except queue.Empty:
            return True

    def wildcard(self, types=(ADDRESS, AUTHORIZATION)):
        for t in types:
            self.subscribe(t)
        for _ in types:
            self.take()
        return self

    def address(self, name):
        m = self.pb.workload.Address()
        m.ParseFromString(self.held[ADDRESS][name].resource.value)
        return m

    def message(self, type_url, cls, name):
        m = cls()
        m.ParseFromString(self.held[type_url][name].resource.value)
        return m

    def end(self):
        self.requests.put(None)
        self.call.cancel()
        self.thread.join(5)


class EndedWith(Exception):
    pass
