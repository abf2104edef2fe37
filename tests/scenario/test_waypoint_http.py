"""The waypoint as an HTTP proxy: routes, policies, scripts, faults, retries, timeouts, and what it answers by itself."""

import json
import re
import subprocess
import time

import pytest
from waypoint_peer import Echo, Mesh, Waypoint, waypoint_pb2 as pb

HOST = "shop/web.shop.svc.cluster.local"


@pytest.fixture
def build(tmp_path_factory):
    """build(fill, endpoints) -> (waypoint, echoes): fill(host, route, mesh) says what the host does."""
    made = []

    def start(fill=None, names=("v1",), routed=True, policies=(), lua=(), mesh=None, **kwargs):
        mesh = mesh or Mesh()
        mesh.service("shop", "web")
        echoes = [Echo(n) for n in names]
        for e in echoes:
            mesh.endpoint("shop", "web", f"web-{e.name}", e.port, labels={"version": e.name})
        host = mesh.host("shop", "web", policies=policies, lua=lua)
        if fill is not None:
            port = host.ports[0]
            route = None
            if routed:
                route = port.routes.add(name="first")
                route.destinations.add(namespace="shop", hostname=host.hostname)
            fill(host, route)
        mesh.add_host(host)
        waypoint = Waypoint(tmp_path_factory.mktemp("w"), mesh, HOST, **kwargs)
        made.append((waypoint, echoes))
        return waypoint, echoes

    yield start
    for waypoint, echoes in made:
        for e in echoes:
            e.close()
        waypoint.stop()


def test_requests_and_answers_pass_whole(build):
    w, _ = build()
    asked = w.asked("/a/b?c=d", "-H", "X-Mine: 1", "-X", "PUT", "-d", "hello")
    assert (asked["method"], asked["path"], asked["body"]) == ("PUT", "/a/b?c=d", "hello")
    assert asked["headers"]["x-mine"] == "1" and asked["headers"]["x-forwarded-proto"] == "http"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", asked["headers"]["x-request-id"])
    assert w.asked("/", "-H", "x-request-id: mine")["headers"]["x-request-id"] == "mine"
    status, headers, _ = w.get("/", "-I")
    assert status == 200 and int(headers["content-length"]) > 0 and w.curl_code == 0


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_bodies_of_any_size_and_framing(build, version, tmp_path):
    w, _ = build()
    for size in (1, 16384, 16385, 300000, 5000000):
        file = tmp_path / "body"
        file.write_bytes(b"y" * size)
        assert w.asked("/", version, "-T", str(file), "-X", "POST")["size"] == size
        if version == "--http1.1":
            assert w.asked("/", version, "-X", "POST", "-H", "Transfer-Encoding: chunked", "-T", str(file))["size"] == size
        status, _, body = w.get(f"/bytes/{size}", version)
        assert status == 200 and len(body) == size
    r = subprocess.run(
        ["curl", "-s", version, "-o", "/dev/null", "-w", "%{size_download}", f"http://127.0.0.1:{w.port}/chunked/bytes/200000"],
        capture_output=True, timeout=20, text=True,
    )
    assert r.stdout == "200000"


def test_the_first_matching_route_wins(build):
    def fill(host, _):
        port = host.ports[0]
        for name, kind, path in (("x", "exact", "/a"), ("p", "path_prefix", "/a"), ("r", "regex", "/v[0-9]+/.*")):
            r = port.routes.add(name=name)
            setattr(r.matches.add().path, kind, path)
            r.direct_response.status = 200
            r.direct_response.body = name.encode()
        r = port.routes.add(name="jason")
        m = r.matches.add()
        m.headers.add(name="end-user").value.exact = "jason"
        r.direct_response.status = 200
        r.direct_response.body = b"jason"

    w, _ = build(fill, routed=False)
    for path, args, want in (
        ("/a", (), b"x"), ("/a/b", (), b"p"), ("/v1/x", (), b"r"), ("/z", ("-H", "end-user: jason"), b"jason"), ("/a/../a", (), b"x"),
    ):
        assert w.get(path, *args)[2] == want
    status, _, body = w.get("/z")
    assert (status, body) == (404, b"")


def test_weights_divide_the_traffic(build):
    def fill(host, route):
        for name, weight in (("v1", 90), ("v3", 10)):
            s = host.subsets.add(name=name)
            s.labels["version"] = name
        del route.destinations[:]
        for name, weight in (("v1", 90), ("v3", 10)):
            route.destinations.add(namespace="shop", hostname=host.hostname, subset=name, weight=weight)

    w, echoes = build(fill, names=("v1", "v2", "v3"))
    subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "4", f"http://127.0.0.1:{w.port}/"], check=True, capture_output=True, timeout=60)
    seen = [len(e.seen) for e in echoes]
    assert seen[1] == 0 and sum(seen) == 2000
    assert 130 <= seen[2] <= 270, seen


def test_rewrites_redirects_and_header_changes(build):
    def fill(host, route):
        port = host.ports[0]
        route.matches.add().path.path_prefix = "/old"
        route.rewrite.prefix = "/new"
        route.rewrite.authority = "inner.example.com"
        route.request_headers.set.add(name="X-Set", value="1")
        route.request_headers.add.add(name="x-from", value="%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
        route.request_headers.remove.append("x-gone")
        route.response_headers.set.add(name="x-answer", value="yes")
        route.response_headers.remove.append("x-upstream")
        for name, match, change in (("whole", "/go", {"path": "/there"}), ("prefix", "/up", {"prefix": "/down"})):
            r = port.routes.add(name=name)
            r.matches.add().path.path_prefix = match
            r.redirect.scheme = "https"
            r.redirect.authority = "example.com"
            r.redirect.status = 302
            for k, v in change.items():
                setattr(r.redirect, k, v)

    w, _ = build(fill)
    asked = w.asked("/old/a?b=c", "-H", "x-gone: 1")
    assert asked["path"] == "/new/a?b=c" and asked["headers"]["host"] == "inner.example.com"
    assert asked["headers"]["x-set"] == "1" and asked["headers"]["x-from"] == "127.0.0.1" and "x-gone" not in asked["headers"]
    _, headers, _ = w.get("/old")
    assert headers["x-answer"] == "yes" and "x-upstream" not in headers
    status, headers, _ = w.get("/go/x?q=1")
    assert status == 302 and headers["location"] == "https://example.com/there?q=1"
    assert w.get("/up/a/b")[1]["location"] == "https://example.com/down/a/b"


def test_authorization_denies_by_path_and_method(build):
    mesh = Mesh()
    p = pb.Policy(namespace="shop", name="no-admin", action=pb.Policy.DENY)
    p.rules.add().to.add().paths.append("/admin*")
    mesh.add_policy(p)
    a = pb.Policy(namespace="shop", name="reads", action=pb.Policy.ALLOW)
    a.rules.add().to.add().methods.extend(["GET", "HEAD"])
    mesh.add_policy(a)
    w, echoes = build(policies=["shop/no-admin", "shop/reads"], mesh=mesh)
    assert w.get("/x")[0] == 200
    for path in ("/admin", "/admin/x", "/a/../admin", "/%61dmin", "/.//../admin"):
        status, headers, body = w.get(path)
        assert (status, body) == (403, b"RBAC: access denied"), path
    assert w.get("/x", "-X", "POST", "-d", "a")[0] == 403
    assert len(echoes[0].seen) == 1


def test_a_policy_that_is_named_but_not_known_denies(build):
    w, echoes = build(policies=["shop/none"])
    assert w.get("/")[0] == 403 and not echoes[0].seen


def test_scripts_see_and_change_requests_and_answers(build):
    mesh = Mesh()
    mesh.add_lua("shop", "one", """
        function on_request(r)
          if r:header("x-lab-deny") then return deny("no") end
          if r.path == "/tea" then r:respond(418, { ["x-pot"] = "1" }, "short") return end
          r:set_header("x-lua", r.method .. " " .. r.connection.service)
          tag("who", "lua")
        end
        function on_response(res, r) res:set_header("x-ambit-lab", tag("who")) end""", on_request=True, on_response=True)
    mesh.add_lua("shop", "loop", "function on_request(r) if r.path == '/loop' then while true do end end end", on_request=True)
    w, _ = build(lua=["shop/one", "shop/loop"], mesh=mesh)
    assert w.asked("/")["headers"]["x-lua"] == "GET web.shop.svc.cluster.local"
    assert w.get("/")[1]["x-ambit-lab"] == "lua"
    assert w.get("/", "-H", "x-lab-deny: 1")[::2] == (403, b"no")
    status, headers, body = w.get("/tea")
    assert (status, headers["x-pot"], body) == (418, "1", b"short")
    assert w.get("/loop")[0] == 403
    assert w.get("/")[0] == 200
    assert 'ambit_lua_failures_total{policy="shop/loop",hook="on_request"} 1' in w.metrics()


def test_faults_delay_and_abort(build):
    def fill(host, route):
        route.fault.delay_ms = 300
        route.fault.delay_per_million = 1000000
        route.fault.abort_status = 555
        route.fault.abort_per_million = 1000000

    w, echoes = build(fill)
    began = time.monotonic()
    assert w.get("/")[::2] == (555, b"fault filter abort")
    assert time.monotonic() - began >= 0.3 and not echoes[0].seen
    wait_log(w, r'"GET / HTTP/1.1" 555 DI,FI fault_filter_abort')


def wait_log(w, pattern):
    end = time.monotonic() + 5
    while not re.search(pattern, w.log.read_text()):
        assert time.monotonic() < end, w.log.read_text()
        time.sleep(0.02)


def test_unavailable_answers_are_tried_again(build):
    def fill(host, route):
        route.retry.attempts = 2

    w, echoes = build(fill)
    echoes[0].failures = 2
    assert w.asked("/")["headers"]["x-envoy-attempt-count"] == "3"
    echoes[0].failures = 2
    assert w.asked("/", "-d", "kept body")["body"] == "kept body"
    echoes[0].failures = 3
    assert w.get("/")[0] == 503
    wait_log(w, r'" 503 URX ')


def test_large_bodies_are_not_tried_again(build, tmp_path):
    w, echoes = build()
    (tmp_path / "b").write_bytes(b"z" * 1000000)
    echoes[0].failures = 1
    assert w.get("/", "-T", str(tmp_path / "b"))[0] == 503
    assert len(echoes[0].seen) == 1


def test_dead_endpoints_are_gone_around(build):
    w, echoes = build(names=("v1", "v2"))
    echoes[0].close()
    for _ in range(20):
        assert w.asked("/")["name"] == "v2"


def test_what_it_says_when_nobody_is_there(build):
    w, echoes = build()
    echoes[0].close()
    status, _, body = w.get("/")
    assert status == 503 and body.startswith(b"upstream connect error or disconnect/reset before headers. reset reason: ")
    wait_log(w, r'" 503 UF,URX |" 503 UF ')


def test_no_healthy_endpoint_is_503(build, tmp_path_factory):
    mesh = Mesh()
    mesh.service("shop", "web")
    mesh.endpoint("shop", "web", "web-1", 1, healthy=False)
    mesh.add_host(mesh.host("shop", "web"))
    w = Waypoint(tmp_path_factory.mktemp("w"), mesh, HOST)
    try:
        assert w.get("/")[::2] == (503, b"no healthy upstream")
        wait_log(w, r'" 503 UH ')
    finally:
        w.stop()


def test_a_cut_connection_is_503(build):
    def fill(host, route):
        route.retry.attempts = 0

    w, _ = build(fill)
    status, _, body = w.get("/cut")
    assert status == 503 and body.endswith(b"reset reason: connection termination")


def test_timeouts_are_504(build):
    def fill(host, route):
        route.timeout_ms = 200

    w, _ = build(fill)
    began = time.monotonic()
    assert w.get("/slow")[::2] == (504, b"upstream request timeout")
    assert time.monotonic() - began < 0.9
    wait_log(w, r'" 504 UT response_timeout')


def test_per_try_timeouts_are_tried_again(build):
    def fill(host, route):
        route.retry.attempts = 1
        route.retry.per_try_timeout_ms = 150
        route.retry.retry_on.append("5xx")

    w, echoes = build(fill)
    assert w.get("/slow")[0] == 504
    time.sleep(0.1)
    assert len(echoes[0].seen) == 2


def test_cors_preflights_are_answered(build):
    def fill(host, route):
        route.cors.allow_origins.add().exact = "https://a.example"
        route.cors.allow_methods.extend(["GET", "POST"])
        route.cors.max_age_s = 60

    w, echoes = build(fill)
    pre = ("-X", "OPTIONS", "-H", "access-control-request-method: POST")
    status, headers, _ = w.get("/", *pre, "-H", "origin: https://a.example")
    assert status == 200 and headers["access-control-allow-origin"] == "https://a.example"
    assert headers["access-control-allow-methods"] == "GET,POST" and headers["access-control-max-age"] == "60"
    assert not echoes[0].seen
    assert "access-control-allow-origin" not in w.get("/", "-H", "origin: https://b.example")[1]
    assert w.get("/", "-H", "origin: https://a.example")[1]["access-control-allow-origin"] == "https://a.example"


def test_mirrors_get_copies(build, tmp_path_factory):
    shadow = Echo("shadow")
    mesh = Mesh()
    mesh.service("shop", "shadow", vip="240.240.0.2")
    mesh.endpoint("shop", "shadow", "shadow-1", shadow.port)

    def fill(host, route):
        m = route.mirrors.add(per_million=1000000)
        m.destination.namespace = "shop"
        m.destination.hostname = "shadow.shop.svc.cluster.local"

    w, echoes = build(fill, mesh=mesh)
    assert w.asked("/m", "-d", "copy me")["name"] == "v1"
    end = time.monotonic() + 5
    while not shadow.seen:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert shadow.seen[0]["body"] == "copy me" and shadow.seen[0]["headers"]["host"].endswith("-shadow")
    shadow.close()


def test_metrics_count_every_request(build):
    w, _ = build()
    subprocess.run(["h2load", "-n", "500", "-c", "2", "-m", "10", f"http://127.0.0.1:{w.port}/bytes/100"], check=True, capture_output=True, timeout=30)
    subprocess.run(["h2load", "--h1", "-n", "300", "-c", "3", f"http://127.0.0.1:{w.port}/status/404"], capture_output=True, timeout=30)
    text = w.metrics()
    counts = {}
    for line in text.splitlines():
        m = re.match(r'istio_requests_total\{(.*)\} (\d+)', line)
        if m:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', m[1]))
            counts[labels["response_code"]] = (int(m[2]), labels)
    assert counts["200"][0] == 500 and counts["404"][0] == 300
    labels = counts["200"][1]
    assert labels["reporter"] == "waypoint" and labels["destination_workload"] == "web-v1"
    assert labels["destination_service"] == "web.shop.svc.cluster.local" and labels["destination_service_name"] == "web"
    assert labels["destination_principal"] == "spiffe://cluster.local/ns/shop/sa/web" and labels["request_protocol"] == "http"
    assert labels["response_flags"] == "-" and labels["destination_version"] == "v1"
    assert re.search(r'istio_request_duration_milliseconds_count\{[^}]*response_code="200"[^}]*\} 500', text)
    m = re.search(r'istio_response_bytes_sum\{[^}]*response_code="200"[^}]*\} ([0-9.e+]+)', text)
    assert float(m[1]) > 500 * 100


def test_the_access_log_is_istios(build):
    w, _ = build()
    w.get("/a?b=c", "-H", "user-agent: me \"and\" you", "-H", "x-forwarded-for: 1.2.3.4")
    wait_log(w, r'^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET /a\?b=c HTTP/1\.1" 200 - via_upstream - "-" 0 \d+ \d+ \d+ "1\.2\.3\.4" '
             r'"me \\x22and\\x22 you" "[0-9a-f-]{36}" "127\.0\.0\.1:\d+" "127\.0\.0\.1:\d+" '
             r'inbound-vip\|80\|http\|web\.shop\.svc\.cluster\.local; 127\.0\.0\.1:\d+ \S+ 127\.0\.0\.1:\d+ - default\n$')


def test_the_access_log_as_json(build):
    w, _ = build(extra="    accessLogFormat: json")
    w.get("/a")
    wait_log(w, "\n")
    line = json.loads(w.log.read_text())
    assert line["method"] == "GET" and line["path"] == "/a" and line["response_code"] == 200 and line["route_name"] == "default"


def test_bad_requests_are_refused_and_the_rest_goes_on(build):
    w, echoes = build()
    for path in ("/a#b", "/a%00b"):
        assert w.get(path)[0] in (200, 400)
    assert w.get("/", "-H", "X-Big: " + "a" * 100000)[0] in (0, 400, 431)
    assert w.get("/", "-X", "CONNECT")[0] in (0, 400, 405)
    assert w.get("/fine")[0] == 200


def test_draining_ends_connections_and_leaves_none_behind(build):
    w, _ = build()
    assert w.get("/")[0] == 200
    began = time.monotonic()
    w.stop()
    assert time.monotonic() - began < 3
