"""zt_world.py -- hosts of a mesh for the ztunnel's tests: network namespaces on a veth pair, a certificate authority, state from a
file, and foreign peers (python3-h2 on Python's ssl) at either end."""

import contextlib
import datetime
import ipaddress
import json
import os
import random
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
AMBIT = os.environ.get("AMBIT", str(BUILD / "ambit"))
TD = "cluster.local"


def wait_for(condition, deadline=10.0, what="condition"):
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)


def spiffe(ns, sa, td=TD):
    return f"spiffe://{td}/ns/{ns}/sa/{sa}"


class Authority:
    """A root and what it signs."""

    def __init__(self, name="test root"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
        now = datetime.datetime.utcnow()
        self.cert = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, uri, seconds=3600):
        """(key, certificate) as PEM for a SPIFFE id."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        cert = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.cert.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(seconds=seconds))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return (
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
            cert.public_bytes(serialization.Encoding.PEM).decode(),
        )

    def context(self, folder, uri, server):
        """An ssl.SSLContext that speaks as this id and trusts this authority."""
        key, cert = self.issue(uri)
        path = Path(folder) / f"peer-{random.randrange(10**9)}.pem"
        path.write_text(cert + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=self.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        return context


def ids_of(tls):
    """SPIFFE ids of the peer's certificate."""
    cert = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


@contextlib.contextmanager
def inside(netns):
    """This thread in the network namespace; sockets made here belong there."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        if libc.setns(here, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns back")
        os.close(here)
        os.close(there)


class Host:
    """One network namespace with an address on the link."""

    def __init__(self, world, name, ip):
        self.world, self.name, self.ip = world, name, ip
        self.netns = f"zt-{world.tag}-{name}"
        self.folder = world.folder / name
        self.folder.mkdir()
        self.process = None

    def run(self, *command, check=True, user=None, **more):
        words = ["nsenter", f"--net=/run/netns/{self.netns}", *map(str, command)]
        if user is not None:
            words = ["nsenter", f"--net=/run/netns/{self.netns}", "setpriv", f"--reuid={user}", "--clear-groups", *map(str, command)]
        return subprocess.run(words, capture_output=True, text=True, check=check, timeout=30, **more)

    def popen(self, *command, **more):
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{self.netns}", *map(str, command)], **more)

    def config(self, workloads=(), ztunnel=None, capture=None, **spec):
        doc = {
            "apiVersion": "ambit.mesh/v1alpha1",
            "kind": "Appliance",
            "metadata": {"name": self.name},
            "spec": {
                "roles": ["ztunnel"],
                "runDir": str(self.folder / "run"),
                "stateDir": str(self.folder / "state"),
                "workers": int(os.environ.get("AMBIT_TEST_WORKERS", "2")),
                "host": {"addresses": [self.ip]},
                "workloads": list(workloads),
                "capture": {"mode": "mesh", **(capture or {})},
                "ztunnel": {
                    "localXds": str(self.world.folder / "state.yaml"),
                    "accessLog": str(self.folder / "access.log"),
                    **(ztunnel or {}),
                },
                **spec,
            },
        }
        return json.dumps(doc)

    def keep_certificate(self, ns, sa, authority=None, seconds=3600):
        """As if it had been obtained in an earlier life."""
        authority = authority or self.world.ca
        key, cert = authority.issue(spiffe(ns, sa), seconds)
        folder = self.folder / "state" / "ztunnel" / "identities"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sa}.{ns}.{TD}.ambit.pem").write_text(
            f"# ambit: key\n{key}\n# ambit: chain\n{cert}\n# ambit: roots\n{authority.pem}"
        )

    def start(self, workloads=(), certificates=True, wait=True, env=None, **more):
        for w in workloads:
            if certificates:
                self.keep_certificate(w["namespace"], w["serviceAccount"])
        path = self.folder / "ambit.yaml"
        path.write_text(self.config(workloads, **more))
        self.log = open(self.folder / "log", "a")
        self.process = self.popen(AMBIT, "run", "-c", path, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})})
        if wait:
            wait_for(self.is_ready, what=f"{self.name} ready; see {self.folder}/log")
        return self

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.http(15021, "/healthz/ready")[0] == 200
        except OSError:
            return False

    def http(self, port, path, method="GET"):
        with inside(self.netns):
            connection = socket.create_connection((self.ip if port != 15000 else "127.0.0.1", port), 5)
        with connection:
            connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
            data = b""
            while part := connection.recv(65536):
                data += part
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    def metrics(self):
        """{(name, frozenset of labels): value}"""
        out = {}
        for line in self.http(15020, "/metrics")[1].splitlines():
            if line.startswith("#"):
                continue
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            pairs = dict(p.split("=", 1) for p in labels.rstrip("}").split('",') if "=" in p)
            out[(name, frozenset((k, v.strip('"')) for k, v in pairs.items()))] = float(value)
        return out

    def sum(self, name, **labels):
        return sum(
            v for (n, pairs), v in self.metrics().items() if n == name and all((k, str(x)) in pairs for k, x in labels.items())
        )

    def dump(self):
        return json.loads(self.http(15000, "/config_dump")[1])

    def access(self):
        path = self.folder / "access.log"
        return path.read_text().splitlines() if path.exists() else []

    def connect(self, address, timeout=5, user=None):
        """A client socket of a program of this host."""
        with inside(self.netns):
            s = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            s.settimeout(timeout)
            s.connect(address)
        return s

    def echo(self, port, greeting=b""):
        """A server on this host that answers what it gets, in capitals."""
        with inside(self.netns):
            listener = socket.create_server(("0.0.0.0", port))
        peers = []

        def serve(c, peer):
            with c:
                peers.append(peer)
                if greeting:
                    c.sendall(greeting)
                while data := c.recv(65536):
                    c.sendall(data.upper())

        def accept():
            while True:
                try:
                    c, peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(c, peer), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        self.world.closing.append(listener.close)
        return peers

    def stop(self, signal=15):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


class World:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.tag = f"{os.getpid() % 10000}{random.randrange(1000)}"
        self.ca = Authority()
        self.hosts = {}
        self.closing = []
        self.state = {"workloads": [], "services": [], "policies": []}
        self.write()
        self.bridge = f"zt-{self.tag}-sw"
        self.ip("netns", "add", self.bridge)
        self.ip("-n", self.bridge, "link", "add", "sw", "type", "bridge")
        self.ip("-n", self.bridge, "link", "set", "sw", "up")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10)

    def host(self, name, ip):
        h = Host(self, name, ip)
        self.hosts[name] = h
        self.ip("netns", "add", h.netns)
        self.ip("-n", h.netns, "link", "add", "eth0", "type", "veth", "peer", "name", f"v{name}", "netns", self.bridge)
        self.ip("-n", self.bridge, "link", "set", f"v{name}", "master", "sw", "up")
        self.ip("-n", h.netns, "addr", "add", f"{ip}/24", "dev", "eth0")
        self.ip("-n", h.netns, "link", "set", "eth0", "up")
        self.ip("-n", h.netns, "link", "set", "lo", "up")
        self.ip("-n", h.netns, "route", "add", "default", "dev", "eth0")
        return h

    def write(self):
        (self.folder / "state.yaml").write_text(json.dumps(self.state))

    def workload(self, name, ns, sa, ip, services=None, **more):
        self.state["workloads"].append(
            {
                "uid": f"test//{ns}/{name}",
                "name": name,
                "namespace": ns,
                "serviceAccount": sa,
                "trustDomain": TD,
                "workloadIps": [ip],
                "protocol": "HBONE",
                "workloadName": name,
                "canonicalName": name,
                "canonicalRevision": "v1",
                "network": "",
                "services": services or {},
                **more,
            }
        )
        self.write()

    def service(self, name, ns, vip, ports, **more):
        self.state["services"].append(
            {
                "name": name,
                "namespace": ns,
                "hostname": f"{name}.{ns}.svc.cluster.local",
                "vips": [f"/{vip}"],
                "ports": ports,
                **more,
            }
        )
        self.write()

    def policy(self, name, ns, scope, action, rules):
        self.state["policies"].append({"name": name, "namespace": ns, "scope": scope, "action": action, "rules": rules})
        self.write()

    def close(self):
        for h in self.hosts.values():
            h.stop()
        for fn in self.closing:
            fn()
        for h in self.hosts.values():
            subprocess.run(["ip", "netns", "del", h.netns], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.bridge], capture_output=True)


class Tunnel:
    """A foreign HBONE client: TLS by Python's ssl, HTTP/2 by python3-h2. One connection, any number of CONNECTs."""

    def __init__(self, host, address, context, sni=None):
        raw = host.connect(address)
        self.tls = context.wrap_socket(raw, server_hostname=sni)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.flush()
        self.events = []

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.tls.sendall(data)

    def pump(self):
        data = self.tls.recv(65536)
        if not data:
            raise EOFError
        for e in self.h2.receive_data(data):
            if isinstance(e, h2.events.DataReceived):
                self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            self.events.append(e)
        self.flush()

    def wait(self, kind, stream=None, deadline=5):
        end = time.monotonic() + deadline
        while True:
            for i, e in enumerate(self.events):
                if isinstance(e, kind) and (stream is None or getattr(e, "stream_id", None) == stream):
                    return self.events.pop(i)
            assert time.monotonic() < end, f"no {kind}"
            self.pump()

    def connect(self, authority, headers=()):
        """(stream, status, headers)"""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":authority", authority), *headers])
        self.flush()
        e = self.wait(h2.events.ResponseReceived, stream)
        fields = dict(e.headers)
        return stream, int(fields[":status"]), fields

    def send(self, stream, data, end=False):
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    def receive(self, stream, size):
        out = b""
        while len(out) < size:
            out += self.wait(h2.events.DataReceived, stream).data
        return out

    def close(self):
        self.tls.close()


class ControlPlane:
    """The real one, on a host of its own."""

    def __init__(self, world, ip="10.77.0.9", resources=(), **section):
        self.host = world.host("cp", ip)
        self.ip = ip
        f = self.folder = self.host.folder
        head = {
            "apiVersion": "ambit.mesh/v1alpha1",
            "kind": "Appliance",
            "metadata": {"name": "cp"},
            "spec": {
                "roles": ["control-plane"],
                "runDir": str(f / "run"),
                "stateDir": str(f / "state"),
                "host": {"addresses": [ip]},
                "controlPlaneServer": {"xds": f"{ip}:15012", "api": f"{ip}:6443", "names": [ip], **section},
            },
        }
        (f / "cp.yaml").write_text("\n---\n".join(json.dumps(d) for d in [head, *resources]))
        self.root = f / "state/control-plane/ca/root-cert.pem"
        self.env = {**os.environ, "AMBIT_RUN_DIR": str(f / "run")}
        self.start()

    def start(self):
        log = open(self.folder / "log", "a")
        self.host.process = self.host.popen(AMBIT, "run", "-c", self.folder / "cp.yaml", stdout=log, stderr=log)
        wait_for(lambda: self.root.exists() and self.ambit("status", check=False).returncode == 0, what="control plane")

    def ambit(self, *words, check=True, text=None):
        return subprocess.run([AMBIT, *words], env=self.env, capture_output=True, text=True, check=check, input=text, timeout=30)

    def apply(self, *docs):
        return self.ambit("apply", "-f", "-", text="\n---\n".join(json.dumps(d) for d in docs))

    def token(self, host, *identities):
        words = [w for i in identities for w in ("--identity", i)]
        return self.ambit("token", "create", "--host", host.name, *words).stdout.strip()

    def join(self, host, workloads, **more):
        (host.folder / "token").write_text(
            self.token(host, *{f"{w['namespace']}/{w['serviceAccount']}" for w in workloads})
        )
        return self.start_host(host, workloads, **more)

    def start_host(self, host, workloads, ztunnel=None, **more):
        return host.start(
            workloads,
            certificates=False,
            ztunnel={"localXds": "", **(ztunnel or {})},
            controlPlane={
                "address": f"{self.ip}:15012",
                "caFile": str(self.root),
                "tokenFile": str(host.folder / "token"),
            },
            **more,
        )


class Server:
    """A foreign HBONE server at host:15008. `answer(stream, headers)` gives a status or (status, headers); bytes come back in capitals."""

    def __init__(self, host, context, answer=lambda stream, headers: 200, settings=None):
        self.answer, self.settings = answer, settings or {}
        self.connections, self.requests, self.identities, self.names = [], [], [], []
        self.failures = []
        context.sni_callback = lambda tls, name, ctx: self.names.append(name)
        with inside(host.netns):
            self.listener = socket.create_server((host.ip, 15008))
        host.world.closing.append(self.close)
        self.context = context
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        try:
            tls = self.context.wrap_socket(raw, server_side=True)
        except (ssl.SSLError, OSError) as e:
            self.failures.append(e)
            return
        self.identities.append(ids_of(tls)[0])
        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        if self.settings:
            c.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
        c.initiate_connection()
        tls.sendall(c.data_to_send())
        self.connections.append((c, tls))
        try:
            while data := tls.recv(65536):
                for e in c.receive_data(data):
                    self.event(c, e)
                if out := c.data_to_send():
                    tls.sendall(out)
        except (OSError, h2.exceptions.ProtocolError) as e:
            self.failures.append(e)

    def event(self, c, e):
        if isinstance(e, h2.events.RequestReceived):
            headers = dict(e.headers)
            self.requests.append(headers)
            result = self.answer(e.stream_id, headers)
            status, more = result if isinstance(result, tuple) else (result, [])
            c.send_headers(e.stream_id, [(":status", str(status)), *more], end_stream=status != 200)
        elif isinstance(e, h2.events.DataReceived):
            c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            if e.data == b"reset, please":
                c.reset_stream(e.stream_id, error_code=2)
            elif e.data:
                c.send_data(e.stream_id, e.data.upper())
        elif isinstance(e, h2.events.StreamEnded):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                c.end_stream(e.stream_id)

    def send(self, index=0):
        """What was said to the connection from outside of its thread."""
        c, tls = self.connections[index]
        if data := c.data_to_send():
            tls.sendall(data)
