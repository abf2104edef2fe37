"""What crosses the network, who is who, and what the metrics count."""

import re
import subprocess
import threading
import time

import pytest
from conftest import parse_metrics, total, wait_for

REQUESTS = 60


def test_only_tls13_on_15008_between_two_vms(lab, tmp_path):
    """A capture on the bridge while pages are fetched: every TCP payload between VMs is TLS on 15008, and the handshakes are 1.3."""
    if subprocess.run(["which", "tshark"], capture_output=True).returncode != 0:
        pytest.skip("tshark is not installed")
    web, reviews = lab.vms["web"]["address"], lab.vms["reviews-1"]["address"]
    dump = tmp_path / "mesh.pcap"
    tcpdump = subprocess.Popen(
        ["tshark", "-q", "-i", f"{lab.info['name']}-br", "-w", dump, "-a", "duration:8", "-f", f"tcp and host {web} and host {reviews}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: dump.exists() and dump.stat().st_size > 0, 10, "the capture runs")
    for _ in range(20):
        assert lab.get("http://productpage:9080/productpage").status == 200
    tcpdump.wait(timeout=30)

    def fields(filter_, *names):
        words = ["tshark", "-r", dump, "-Y", filter_, "-T", "fields"]
        for name in names:
            words += ["-e", name]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    ports = set()
    for line in fields("tcp.len > 0", "tcp.srcport", "tcp.dstport"):
        ports.update(p for p in line.split("\t") if p == "15008")
        assert "15008" in line.split("\t"), f"payload beside 15008: {line}"
    assert ports == {"15008"}
    data = dump.read_bytes()
    assert b"HTTP/1.1" not in data and b"/reviews/0" not in data and b"Reviewer1" not in data


def test_each_of_three_services_of_one_vm_has_its_own_certificate(lab):
    """Openssl as a stranger: asks the books VM by server name and reads the certificate; a client certificate is demanded."""
    books = lab.vms["books"]
    names = {}
    for workload in books["workloads"]:
        account = workload["serviceAccount"]
        out = subprocess.run(
            ["openssl", "s_client", "-connect", f"{books['address']}:15008", "-alpn", "h2", "-tls1_3", "-servername",
             f"{account}.bookinfo.cluster.local.ambit", "-CAfile", lab.info["root"], "-showcerts"],
            input="", capture_output=True, text=True, timeout=20,
        ).stdout
        pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", out, re.S)
        assert pem, out
        text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=pem.group(0), capture_output=True,
                              text=True, check=True).stdout
        names[account] = re.search(r"URI:(\S+)", text).group(1)
    assert names == {w["serviceAccount"]: w["identity"] for w in books["workloads"]}


def test_metrics_equal_what_was_sent(lab):
    """The destination's ztunnel counts the connections that the shell made to details, and its bytes add up to curl's."""
    def count():
        return lab.metrics("books")

    labels = {"reporter": "destination", "destination_service": "details.bookinfo.svc.cluster.local",
              "source_principal": "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-shell"}
    before = count()
    size = 0
    for _ in range(REQUESTS):
        answer = lab.get("http://details:9080/details/0")
        assert answer.status == 200
        size = len(answer.body)

    def opened():
        return total(count(), "istio_tcp_connections_opened_total", **labels) - total(before, "istio_tcp_connections_opened_total", **labels)

    assert wait_for(lambda: opened() >= REQUESTS, 10, "connections are counted") and opened() == REQUESTS
    wait_for(lambda: total(count(), "istio_tcp_connections_closed_total", **labels)
             - total(before, "istio_tcp_connections_closed_total", **labels) == REQUESTS, 10, "and closed")
    after = count()
    sent = total(after, "istio_tcp_sent_bytes_total", **labels) - total(before, "istio_tcp_sent_bytes_total", **labels)
    assert sent % REQUESTS == 0 and sent / REQUESTS > size


def test_no_unknown_among_members(lab):
    for vm in lab.vms:
        for (name, labels), value in lab.metrics(vm).items():
            if name != "istio_tcp_connections_opened_total" or value == 0:
                continue
            have = dict(labels)
            if have["connection_security_policy"] != "mutual_tls":
                continue
            unknown = [k for k in ("source_workload", "source_principal", "destination_workload", "destination_principal",
                                   "destination_service") if have[k] == "unknown"]
            assert not unknown, (vm, unknown, have)


def steady(lab, url, seconds, results):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        results.append(lab.get(url).status)


def test_killed_control_plane_leaves_traffic_alone(lab):
    pids = lab.pids("hub/ambit.yaml")
    assert pids
    config = lab.folder / "hub" / "ambit.yaml"
    subprocess.run(["kill", "-9", *pids], check=True)
    try:
        results = []
        steady(lab, "http://reviews:9080/reviews/0", 3, results)
        steady(lab, "http://productpage:9080/productpage", 2, results)
        assert results and set(results) == {200}, results
    finally:
        restart_hub(lab, config)


def restart_hub(lab, config):
    exe = subprocess.run(["readlink", "-f", "/proc/self/exe"], capture_output=True, text=True).stdout  # noqa: F841
    subprocess.Popen(["ip", "netns", "exec", lab.info["hub"]["netns"], __import__("os").environ.get("AMBIT", "build/ambit"), "run",
                      "-c", str(config)], env=lab.env, stdout=open(lab.folder / "hub" / "ambit.log", "a"),
                     stderr=subprocess.STDOUT, start_new_session=True)
    wait_for(lambda: lab.ambit("get", "namespaces", check=False).returncode == 0, 20, "the control plane is back")


def test_a_waypoint_comes_and_goes_without_a_failed_request(clean):
    """Make before break: requests go on without a pause while a route brings a waypoint and takes it away again."""
    lab = clean
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{timeout: 5s, route: [{destination: {host: reviews}}]}]
"""
    results = []
    thread = threading.Thread(target=steady, args=(lab, "http://reviews:9080/reviews/0", 9, results))
    thread.start()
    for _ in range(2):
        lab.apply(route)
        wait_for(lambda: lab.waypoints().get("waypoint-bookinfo-reviews"), 10, "the waypoint is ready")
        time.sleep(0.5)
        lab.delete("virtualservice", "reviews")
        wait_for(lambda: not lab.waypoints(), 10, "the waypoint is gone")
    thread.join()
    assert len(results) > 50 and set(results) == {200}, [r for r in results if r != 200]


def test_killed_waypoint_is_back_and_nothing_passes_meanwhile(clean):
    lab = clean
    lab.apply("""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-one}
spec:
  targetRefs: [{kind: Service, group: "", name: details}]
  action: DENY
  rules: [{to: [{operation: {paths: ["/details/1"]}}]}]
""")
    wait_for(lambda: lab.waypoints().get("waypoint-bookinfo-details"), 20, "the waypoint is ready")
    wait_for(lambda: lab.get("http://details:9080/details/1").status == 403, 20, "the path is denied")
    assert lab.get("http://details:9080/details/0").status == 200
    results = []
    thread = threading.Thread(target=steady, args=(lab, "http://details:9080/details/1", 6, results))
    thread.start()
    time.sleep(0.5)
    pids = lab.pids("hub/state/waypoint-manager/bookinfo.waypoint-bookinfo-details/ambit.yaml")
    subprocess.run(["kill", "-9", *pids], check=True)
    killed = time.monotonic()
    wait_for(lambda: lab.get("http://details:9080/details/0", timeout=2).status == 200, 10, "the waypoint serves again", 0.05)
    back = time.monotonic() - killed
    thread.join()
    assert 200 not in results, results
    assert back < 4, f"back after {back:.1f} s"  # its own figure is told in docs; a loaded machine may take longer than 2 s


def test_killed_ztunnel_does_not_strand_its_host(lab):
    """After kill -9 the VM's own traffic gets out again within a few seconds, uncaptured."""
    pids = lab.pids("client/ambit.yaml")
    hub = lab.info["hub"]["address"]
    subprocess.run(["kill", "-9", *pids], check=True)
    try:
        wait_for(lambda: lab.netns("client", "curl", "-s", "--noproxy", "*", "--max-time", "2", "-o", "/dev/null", "-w", "%{http_code}",
                                   f"http://{hub}:20001/healthz", check=False).stdout == "200", 15, "the host reaches out")
    finally:
        start_ztunnel(lab, "client")
    wait_for(lambda: lab.get("http://reviews:9080/reviews/0").status == 200, 20, "and is back in the mesh")


def start_ztunnel(lab, vm):
    config = lab.folder / vm / "ambit.yaml"
    subprocess.Popen(["nsenter", f"--net=/run/netns/{lab.vms[vm]['netns']}", __import__("os").environ.get("AMBIT", "build/ambit"), "run", "-c",
                      str(config)], env=lab.env, stdout=open(lab.folder / vm / "ambit.log", "a"), stderr=subprocess.STDOUT,
                     start_new_session=True)
    wait_for(lambda: {v["name"]: v["ready"] for v in __import__("json").loads(lab.ambit("lab", "status", "-o", "json").stdout)["vms"]}[vm],
             20, f"the ztunnel of {vm} is ready")
