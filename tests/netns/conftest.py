"""A lab per session: the whole mesh in network namespaces, and the words that the tests use to talk to it."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AMBIT = os.environ.get("AMBIT", str(ROOT / "build" / "ambit"))
NAMESPACE = "bookinfo"


def external(*parts):
    """A file of the public samples that users bring; they lie beside the checkout, or where AMBIT_EXTERNAL says."""
    base = Path(os.environ.get("AMBIT_EXTERNAL", ROOT.parent / "shared" / "external"))
    path = base.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def wait_for(condition, deadline=20.0, what="condition", step=0.1):
    """Ask until condition() is true; its last value is returned. Fails with `what` when the deadline passes."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {deadline} s (last: {value!r})")
        time.sleep(step)


class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.seconds:.2f}s {self.body[:120]!r}>"


class Lab:
    def __init__(self, env):
        self.env = env
        self.info = json.loads(self.ambit("lab", "status", "-o", "json").stdout)
        self.env["AMBIT_RUN_DIR"] = self.info["runDir"]
        self.folder = Path(self.info["folder"])
        self.vms = {vm["name"]: vm for vm in self.info["vms"]}

    def ambit(self, *words, check=True, text=None, timeout=120):
        return subprocess.run(
            [AMBIT, *map(str, words)], env=self.env, input=text, capture_output=True, text=True, check=check, timeout=timeout
        )

    def exec(self, vm, *command, check=True, timeout=60):
        return self.ambit("lab", "exec", vm, "--", *command, check=check, timeout=timeout)

    def netns(self, vm, *command, check=True, timeout=60):
        """As root in the VM's network, outside of its mount namespace."""
        netns = self.vms[vm]["netns"] if vm in self.vms else self.info["hub"]["netns"]
        return subprocess.run(
            ["ip", "netns", "exec", netns, *map(str, command)],
            env=self.env,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )

    def pids(self, config):
        """Processes that run this file of the lab's folder; other labs on this machine have other folders."""
        found = subprocess.run(["pgrep", "-f", f"run -c {self.folder}/{config}"], capture_output=True, text=True).stdout.split()
        assert found, config
        return found

    def get(self, url, headers=None, vm="client", method="GET", timeout=15, extra=()):
        words = ["curl", "--silent", "--noproxy", "*", "--max-time", str(timeout), "-X", method]
        for name, value in (headers or {}).items():
            words += ["-H", f"{name}: {value}"]
        words += [*extra, "-D", "-", "-w", "\n%{http_code} %{time_total}", url]
        out = self.exec(vm, *words, check=False, timeout=timeout + 15).stdout
        rest, _, last = out.rpartition("\n")
        status, seconds = last.split() if last else ("0", "0")
        head, _, body = rest.partition("\n\n")
        while body.startswith("HTTP/"):
            head, _, body = body.partition("\n\n")
        fields = dict(
            (line.split(":", 1)[0].lower(), line.split(":", 1)[1].strip()) for line in head.split("\n")[1:] if ":" in line
        )
        return Answer(int(status), fields, body, float(seconds))

    def apply(self, what, check=True, namespace=NAMESPACE):
        """A path, or YAML text."""
        if isinstance(what, Path):
            return self.ambit("apply", "-f", what, "-n", namespace, check=check)
        return self.ambit("apply", "-f", "-", "-n", namespace, text=what, check=check)

    def delete(self, kind, name, namespace=NAMESPACE, check=True):
        return self.ambit("delete", kind, name, "-n", namespace, check=check)

    def objects(self, kind, namespace=NAMESPACE):
        out = self.ambit("get", kind, "-n", namespace, "-o", "json").stdout
        return json.loads(out).get("items", [])

    def waypoints(self):
        """Name -> Programmed, of every waypoint."""
        found = {}
        for gateway in self.objects("gateways.gateway.networking.k8s.io"):
            conditions = {c["type"]: c["status"] for c in gateway.get("status", {}).get("conditions", [])}
            found[gateway["metadata"]["name"]] = conditions.get("Programmed") == "True"
        return found

    def metrics(self, vm):
        """Series of the VM's ztunnel: (name, frozenset of labels) -> value."""
        text = subprocess.run(
            ["curl", "-s", "--noproxy", "*", f"http://{self.vms[vm]['address']}:15020/metrics"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
        return parse_metrics(text)

    def clean(self):
        """Every route and policy that a test left; waits until no waypoint is left either."""
        for kind in (
            "virtualservices",
            "destinationrules",
            "httproutes",
            "routetables",
            "authorizationpolicies",
            "peerauthentications",
            "luapolicies",
            "waypointpolicies",
        ):
            for item in self.objects(kind):
                self.delete(kind, item["metadata"]["name"], check=False)
        wait_for(lambda: not self.waypoints(), 30, "waypoints are gone")
        wait_for(lambda: self.get("http://reviews:9080/reviews/0").status == 200, 20, "reviews answers again")


def parse_metrics(text):
    series = {}
    for line in text.splitlines():
        match = re.match(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
        if not match or line.startswith("#"):
            continue
        labels = frozenset(re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', match.group(2) or ""))
        series[(match.group(1), labels)] = float(match.group(3))
    return series


def total(series, name, **labels):
    """Sum over the series of that name that bear these labels."""
    wanted = set(labels.items())
    return sum(value for (n, have), value in series.items() if n == name and wanted <= have)


def end_orphans():
    """Labs of test runs that were killed: a lab is named after the process that made it."""
    for folder in Path("/run").glob("ambit-lab-t[0-9]*"):
        name = folder.name.removeprefix("ambit-lab-")
        if not Path(f"/proc/{name[1:]}").exists():
            subprocess.run([AMBIT, "lab", "down"], env=dict(os.environ, AMBIT_LAB_NAME=name), capture_output=True, timeout=120)


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    end_orphans()
    pid = os.getpid()
    env = dict(os.environ, AMBIT_LAB_NAME=f"t{pid}"[:8], AMBIT_LAB_NET=f"10.78.{pid % 250}")
    up = subprocess.run([AMBIT, "lab", "up"], env=env, capture_output=True, text=True, timeout=300)
    if up.returncode != 0:
        logs = ""
        for log in sorted(Path(f"/run/ambit-lab-{env['AMBIT_LAB_NAME']}").glob("*/ambit.log")):
            logs += f"\n--- {log}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        pytest.fail(f"lab up: {up.stdout}{up.stderr}{logs}")
    assert up.stdout.rstrip().splitlines()[-1].startswith("http://"), up.stdout
    yield Lab(env)
    down = subprocess.run([AMBIT, "lab", "down"], env=env, capture_output=True, text=True, timeout=120)
    assert down.returncode == 0, down.stderr


@pytest.fixture
def clean(lab):
    lab.clean()
    yield lab
    lab.clean()
