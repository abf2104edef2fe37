"""Foreign programs at the ends: nginx, Redis' own client, h2load against an h2c server; nobody told them of a mesh."""

import os
import re
import signal
import subprocess

import pytest
from conftest import total, wait_for

DETAILS = {"user": 20002, "port": 9081}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.fixture
def in_place_of_details(lab, tmp_path_factory):
    """Stop the demo's details and start another program as its user, on its port; the demo is back afterwards."""
    started = []

    def find():
        """The user's processes in this lab's VM; another lab has the same users."""
        here = output("ip", "netns", "pids", lab.vms["books"]["netns"])
        of_user = output("pgrep", "-u", str(DETAILS["user"]))
        return set(here.split()) & set(of_user.split())

    def start(*command, tmp=None):
        for pid in find():
            os.kill(int(pid), signal.SIGTERM)
        wait_for(lambda: not find(), 10, "details has ended")
        started.append(spawn(lab, command, tmp))
        wait_for(lambda: f":{DETAILS['port']}" in lab.netns("books", "ss", "-ltn").stdout, 10, f"{command[0]} listens")

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=10)
    for pid in find():
        os.kill(int(pid), signal.SIGKILL)
    bookinfo = os.path.join(os.path.dirname(os.environ.get("AMBIT", "build/ambit")), "ambit-bookinfo")
    subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{lab.vms['books']['netns']}", "setpriv", f"--reuid={DETAILS['user']}", "--clear-groups",
         bookinfo, "details", str(DETAILS["port"])],
        start_new_session=True,
    )
    wait_for(lambda: lab.get("http://details:9080/details/0").status == 200, 15, "details is back")


def spawn(lab, command, tmp=None):
    """tmp: a folder that is the program's /tmp."""
    private = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /tmp && exec "$@"', tmp] if tmp else []
    return subprocess.Popen(
        [*private, "nsenter", f"--net=/run/netns/{lab.vms['books']['netns']}", "setpriv", f"--reuid={DETAILS['user']}", "--clear-groups", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_nginx_serves_a_large_file_whole(lab, in_place_of_details, tmp_path):
    os.chmod(tmp_path, 0o777)
    for parent in list(tmp_path.parents)[:3]:
        os.chmod(parent, 0o755)
    big = tmp_path / "big"
    big.write_bytes(os.urandom(20 * 1024 * 1024))
    big.chmod(0o644)
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;"
        f" uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;"
        f" server {{ listen {DETAILS['port']}; root {tmp_path}; }} }}\n"
    )
    in_place_of_details("/usr/sbin/nginx", "-c", str(conf), "-p", str(tmp_path))
    got = tmp_path / "got"
    got.touch()
    got.chmod(0o666)
    out = lab.exec("client", "curl", "-s", "--noproxy", "*", "-o", got, "-w", "%{http_code} %{size_download}", "http://details:9080/big").stdout
    assert out == f"200 {big.stat().st_size}"
    assert got.read_bytes() == big.read_bytes()


def test_redis_client_talks_to_redis_by_name(lab):
    def redis(*words):
        return lab.exec("client", "redis-cli", "-h", "redis", *words, timeout=20).stdout.strip()

    assert redis("ping") == "PONG"
    assert redis("set", "mesh", "x" * 100_000) == "OK"
    assert len(redis("get", "mesh")) == 100_000
    assert redis("del", "mesh") == "1"


def test_ratings_come_out_of_a_real_redis(lab):
    assert lab.exec("client", "redis-cli", "-h", "redis", "hset", "ratings:7", "Reviewer1", "1", "Reviewer2", "2").stdout.strip() in "012"
    assert lab.get("http://ratings:9080/ratings/7").json == {"id": 7, "ratings": {"Reviewer1": 1, "Reviewer2": 2}}


def test_h2load_against_an_h2c_server(lab, in_place_of_details, tmp_path):
    os.chmod(tmp_path, 0o777)
    for parent in list(tmp_path.parents)[:3]:
        os.chmod(parent, 0o755)
    (tmp_path / "index.html").write_text("x" * 1000)
    in_place_of_details("nghttpd", "--no-tls", "-d", "/tmp", str(DETAILS["port"]), tmp=tmp_path)
    out = lab.exec("client", "h2load", "-n", "2000", "-c", "8", "-m", "10", "http://details:9080/index.html", timeout=60).stdout
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in out, out


def test_a_waypoint_counts_the_requests_that_were_made(clean):
    lab = clean
    lab.apply(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - match: [{uri: {prefix: /details}}]
    route: [{destination: {host: details}}]
"""
    )
    wait_for(lambda: lab.waypoints().get("waypoint-bookinfo-details"), 20, "the waypoint is ready")

    def count(code):
        text = subprocess.run(["curl", "-s", "--noproxy", "*", f"http://{lab.info['hub']['address']}:{port}/metrics"],
                              capture_output=True, text=True, check=True).stdout
        from conftest import parse_metrics

        return total(parse_metrics(text), "istio_requests_total", reporter="waypoint", response_code=code,
                     source_principal="spiffe://cluster.local/ns/bookinfo/sa/bookinfo-shell",
                     destination_service="details.bookinfo.svc.cluster.local")

    instances = lab.netns("hub", "curl", "-s", "--unix-socket", f"{lab.info['runDir']}/admin-hub.sock",
                          "http://localhost/waypoint-manager/instances").stdout
    port = int(re.search(r'waypoint-bookinfo-details".*?"metricsPort":(\d+)', instances).group(1))
    wait_for(lambda: "x-envoy" in str(lab.get("http://details:9080/details/0").headers) or count("200") > 0, 20, "the waypoint is on the way")
    fine, lost = count("200"), count("404")
    for _ in range(25):
        assert lab.get("http://details:9080/details/0").status == 200
    for _ in range(5):
        assert lab.get("http://details:9080/nothing").status == 404
    wait_for(lambda: (count("200") - fine, count("404") - lost) == (25, 5), 10, "25 and 5 are counted")


def test_lua_policy_at_the_waypoint(clean):
    lab = clean
    lab.apply(
        """
apiVersion: ambit.mesh/v1alpha1
kind: LuaPolicy
metadata: {name: greet}
spec:
  targetRefs: [{kind: Service, group: "", name: details}]
  source: |
    function on_request(request)
      if request:header("x-please-deny") then return deny("told to") end
    end
    function on_response(response)
      response:set_header("x-ambit-lua", "hello")
    end
"""
    )
    wait_for(lambda: lab.get("http://details:9080/details/0").headers.get("x-ambit-lua") == "hello", 20, "the script answers")
    assert lab.get("http://details:9080/details/0", {"x-please-deny": "1"}).status == 403


def test_ssh_and_other_hosts_are_not_captured(lab):
    """A listener on port 22 of a VM is reached in plain TCP from outside of the mesh, and from a VM."""
    server = subprocess.Popen(
        ["ip", "netns", "exec", lab.vms["web"]["netns"], "/usr/bin/python3", "-c",
         "import socket\ns=socket.create_server(('0.0.0.0',22))\nwhile True:\n c,a=s.accept(); c.sendall(('SSH from %s\\n'%a[0]).encode()); c.close()"],
    )
    try:
        for vm in ("client", "hub"):
            script = f"import socket; s=socket.create_connection(('{lab.vms['web']['address']}',22),5); print(s.recv(100).decode())"
            out = wait_for(lambda vm=vm, script=script: lab.netns(vm, "/usr/bin/python3", "-c", script, check=False).stdout, 10, "ssh answers")
            address = lab.vms[vm]["address"] if vm in lab.vms else lab.info["hub"]["address"]
            assert out.strip() == f"SSH from {address}"
    finally:
        server.kill()
        server.wait(timeout=10)
