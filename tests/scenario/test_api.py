"""The resource API, driven by clients that are not ours: http.client over the Unix socket, TLS with tokens, and kubectl."""

import hashlib
import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from api_world import EXTERNAL, KUBECTL, SA, SVC, VS, Server, UnixConnection, account, route, service, wait_for


@pytest.fixture
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("a")).start()
    yield s
    assert s.stop() == 0, (s.folder / "log").read_text()[-8000:]


class Watch:
    """A watch in a thread; its events as they come."""

    def __init__(self, server, path):
        self.events = []
        self.ended = False
        self.c = UnixConnection(server.socket, timeout=60)
        self.c.request("GET", path)
        self.response = self.c.getresponse()
        assert self.response.status == 200
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for line in self.response:
                self.events.append(json.loads(line))
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended = True

    def wait(self, count):
        wait_for(lambda: len(self.events) >= count, what=f"{count} events, has {len(self.events)}")
        return [(e["type"], e["object"]["metadata"].get("name")) for e in self.events]

    def close(self):
        self.c.sock.shutdown(socket.SHUT_RDWR)
        self.c.close()


# -- objects


def test_an_object_is_made_read_changed_and_removed(server):
    status, made = server.post(SVC, service())
    assert status == 201
    assert made["metadata"]["generation"] == 1 and made["metadata"]["uid"] and made["metadata"]["creationTimestamp"]
    read = server.get(SVC + "/a")[1]
    assert read["spec"] == made["spec"] and read["metadata"]["uid"] == made["metadata"]["uid"]
    made["metadata"].pop("resourceVersion")  # conditions may have been written meanwhile
    made["spec"]["ports"][0]["port"] = 81
    status, changed = server.request("PUT", SVC + "/a", made)
    assert status == 200 and changed["metadata"]["generation"] == 2
    assert int(changed["metadata"]["resourceVersion"]) > int(read["metadata"]["resourceVersion"])
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    status, gone = server.request("DELETE", SVC + "/a")
    assert status == 200 and gone["status"] == "Success" and gone["details"]["name"] == "a"
    assert server.get(SVC + "/a")[0] == 404


def test_a_write_that_changes_nothing_makes_no_revision(server):
    made = server.post(SA, account("a"))[1]
    assert server.request("PUT", SA + "/a", account("a"))[1]["metadata"] == made["metadata"]


def test_a_stale_write_conflicts(server):
    made = server.post(SA, account("a"))[1]
    assert server.patch(SA + "/a", {"metadata": {"labels": {"x": "y"}}})[0] == 200
    status, answer = server.request("PUT", SA + "/a", made)
    assert (status, answer["reason"]) == (409, "Conflict")
    status, answer = server.post(SA, account("a"))
    assert (status, answer["reason"]) == (409, "AlreadyExists")


def test_labels_do_not_count_as_a_generation(server):
    server.post(SVC, service())
    assert server.patch(SVC + "/a", {"metadata": {"labels": {"x": "y"}}})[1]["metadata"]["generation"] == 1


def test_generate_name_makes_a_name(server):
    body = service()
    body["metadata"] = {"generateName": "svc-"}
    names = {server.post(SVC, body)[1]["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3 and all(n.startswith("svc-") for n in names)


def test_status_is_written_by_its_subresource_alone(server):
    body = service()
    body["status"] = {"x": 1}
    assert "status" not in server.post(SVC, body)[1]
    status, answer = server.patch(SVC + "/a/status", {"status": {"conditions": [{"type": "Fine", "status": "True"}]}})
    assert status == 200 and answer["status"]["conditions"][0]["type"] == "Fine"
    status, answer = server.request("PUT", SVC + "/a", service(port=82))
    assert answer["status"]["conditions"][0]["type"] == "Fine" and answer["spec"]["ports"][0]["port"] == 82


def test_every_problem_is_a_cause_with_its_field(server):
    body = route()
    body["spec"]["http"][0].update({"timeout": "soon", "fault": {"abort": {"httpStatus": 999}}, "retrys": {}})
    status, answer = server.post(VS, body)
    assert (status, answer["reason"]) == (422, "Invalid")
    causes = {c["field"]: c["reason"] for c in answer["details"]["causes"]}
    assert causes == {
        "spec.http[0].timeout": "FieldValueInvalid",
        "spec.http[0].fault.abort.httpStatus": "FieldValueInvalid",
        "spec.http[0].retrys": "FieldValueForbidden",
    }
    assert 'did you mean "retries"' in answer["message"]


def test_unknown_fields_are_refused_warned_of_or_ignored(server):
    body = route()
    body["spec"]["hostz"] = []
    assert server.post(VS, body)[0] == 422
    assert server.post(VS + "?fieldValidation=Ignore", body)[0] == 201
    c = UnixConnection(server.socket)
    body["metadata"]["name"] = "second"
    c.request("POST", VS + "?fieldValidation=Warn", json.dumps(body), {"content-type": "application/json"})
    r = c.getresponse()
    assert r.status == 201 and "hostz" in r.getheader("warning")
    assert json.loads(r.read())["metadata"]["name"] == "second"


def test_a_dry_run_answers_as_if_and_changes_nothing(server):
    status, answer = server.post(SVC + "?dryRun=All", service())
    assert status == 201 and answer["metadata"]["uid"]
    assert server.get(SVC + "/a")[0] == 404
    server.post(SVC, service())
    assert server.patch(SVC + "/a?dryRun=All", {"spec": {"type": "ClusterIP"}})[1]["spec"]["type"] == "ClusterIP"
    assert "type" not in server.get(SVC + "/a")[1]["spec"]
    assert server.request("DELETE", SVC + "/a?dryRun=All")[0] == 200
    assert server.get(SVC + "/a")[0] == 200


def test_all_versions_are_one_object(server):
    server.post(VS.replace("/v1/", "/v1alpha3/"), dict(route(), apiVersion="networking.istio.io/v1alpha3"))
    for version in ("v1", "v1beta1", "v1alpha3"):
        answer = server.get(VS.replace("/v1/", f"/{version}/") + "/r")[1]
        assert answer["apiVersion"] == f"networking.istio.io/{version}"
    assert server.get(VS.replace("/v1/", "/v2/") + "/r")[0] == 404


@pytest.mark.parametrize(
    "kind,patch,want",
    [
        ("merge", {"spec": {"selector": None}}, {"ports": [{"port": 80}]}),
        ("json", [{"op": "replace", "path": "/spec/ports/0/port", "value": 99}], {"ports": [{"port": 99}], "selector": {"app": "a"}}),
        ("json", [{"op": "add", "path": "/spec/ports/-", "value": {"port": 1, "name": "b"}}, {"op": "add", "path": "/spec/ports/0/name", "value": "a"}],
         {"ports": [{"port": 80, "name": "a"}, {"port": 1, "name": "b"}], "selector": {"app": "a"}}),
        ("strategic-merge", {"spec": {"ports": [{"port": 80, "name": "x"}]}}, {"ports": [{"port": 80, "name": "x"}], "selector": {"app": "a"}}),
        ("strategic-merge", {"spec": {"ports": [{"port": 80, "name": "x"}, {"port": 2, "name": "y"}]}},
         {"ports": [{"port": 80, "name": "x"}, {"port": 2, "name": "y"}], "selector": {"app": "a"}}),
        ("strategic-merge", {"spec": {"ports": [{"$patch": "delete", "port": 80}], "clusterIP": "None"}}, {"ports": [], "clusterIP": "None", "selector": {"app": "a"}}),
    ],
)
def test_patches_do_what_their_type_says(server, kind, patch, want):
    server.post(SVC, service())
    status, answer = server.patch(SVC + "/a", patch, kind)
    assert status == 200, answer
    assert answer["spec"] == want


def test_a_patch_that_grows_without_end_is_refused(server):
    server.post(SVC, service(annotations={"x": "y" * 1000}))
    grow = [{"op": "copy", "from": "/metadata", "path": "/metadata/annotations/m"}] + [
        {"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/m{i}"} for i in range(40)
    ]
    status, answer = server.patch(SVC + "/a", grow, "json")
    assert status in (413, 422) and answer["kind"] == "Status"
    assert server.get(SVC + "/a")[1]["metadata"]["annotations"] == {"x": "y" * 1000}


def test_server_side_apply_makes_and_merges(server):
    headers = {"content-type": "application/apply-patch+yaml"}
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n"
    status, answer = server.request("PATCH", SVC + "/a?fieldManager=x&force=true", text, headers)
    assert status == 201
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {x: y}}\nspec: {ports: [{port: 81}]}\n"
    status, answer = server.request("PATCH", SVC + "/a?fieldManager=x&force=true", text, headers)
    assert status == 200 and answer["metadata"]["labels"] == {"x": "y"} and answer["spec"]["ports"] == [{"port": 81}]


def test_a_namespace_takes_along_what_is_in_it(server):
    server.post("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    for n in "ab":
        server.post("/api/v1/namespaces/shop/services", service(n))
    server.post(SVC, service())
    assert server.request("DELETE", "/api/v1/namespaces/shop")[0] == 200
    assert [o["metadata"]["namespace"] for o in server.get("/api/v1/services")[1]["items"]] == ["default"]


def test_finalizers_hold_an_object_until_they_are_gone(server):
    server.post(SVC, service(finalizers=["x/y"]))
    status, answer = server.request("DELETE", SVC + "/a")
    assert status == 200 and answer["metadata"]["deletionTimestamp"]
    assert server.get(SVC + "/a")[0] == 200
    server.patch(SVC + "/a", {"metadata": {"finalizers": None}})
    assert server.get(SVC + "/a")[0] == 404


def test_a_token_tells_its_secret_once(server):
    path = "/apis/ambit.mesh/v1alpha1/jointokens"
    status, answer = server.post(path, {"metadata": {}, "spec": {"identities": ["shop/web"], "ttl": "5m"}})
    assert status == 201
    secret = answer["status"]["token"]
    assert secret.startswith("ambit1." + answer["metadata"]["name"] + ".")
    stored = server.get(path + "/" + answer["metadata"]["name"])[1]
    assert "token" not in stored["status"] and stored["status"]["secretHash"]
    assert secret.split(".")[-1] not in json.dumps(server.get(path)[1])
    status, answer = server.patch(path + "/" + answer["metadata"]["name"], {"spec": {"identities": ["*"]}})
    assert status == 422


# -- lists


def test_lists_are_selected_and_paged(server):
    for i in range(7):
        server.post(SVC, service(f"s{i}", labels={"parity": "odd" if i % 2 else "even", "n": str(i)}))

    def names(query):
        status, answer = server.get(SVC + query)
        assert status == 200, answer
        return [o["metadata"]["name"] for o in answer["items"]]

    assert names("?labelSelector=parity%3Dodd") == ["s1", "s3", "s5"]
    assert names("?labelSelector=parity!%3Dodd,n+in+(0,2)") == ["s0", "s2"]
    assert names("?labelSelector=!parity") == []
    assert names("?fieldSelector=metadata.name%3Ds3") == ["s3"]
    assert server.get(SVC + "?fieldSelector=spec.type%3Dx")[0] == 400
    assert server.get(SVC + "?labelSelector=%3D%3D")[0] == 400
    seen, token = [], ""
    while True:
        answer = server.get(SVC + "?limit=3" + (f"&continue={token}" if token else ""))[1]
        seen += [o["metadata"]["name"] for o in answer["items"]]
        token = answer["metadata"].get("continue", "")
        if not token:
            break
    assert seen == [f"s{i}" for i in range(7)]


def test_a_collection_can_be_deleted_by_label(server):
    for i in range(4):
        server.post(SVC, service(f"s{i}", labels={"parity": "odd" if i % 2 else "even"}))
    assert server.request("DELETE", SVC + "?labelSelector=parity%3Dodd")[0] == 200
    assert [o["metadata"]["name"] for o in server.get(SVC)[1]["items"]] == ["s0", "s2"]


def test_tables_have_the_kinds_columns(server):
    server.post(VS, route())
    table = server.get(VS, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"})[1]
    assert table["kind"] == "Table"
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "GATEWAYS", "HOSTS", "Age"]
    assert table["rows"][0]["cells"][:3] == ["r", "", "a"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


# -- watches


# Of service accounts: nobody but the test writes to them.


def test_a_watch_tells_what_changes(server):
    server.post(SA, account("before"))
    version = server.get(SA)[1]["metadata"]["resourceVersion"]
    w = Watch(server, SA + f"?watch=true&resourceVersion={version}")
    server.post(SA, account("a"))
    server.post(VS, route())
    server.patch(SA + "/a", {"metadata": {"labels": {"x": "y"}}})
    server.request("DELETE", SA + "/a")
    assert w.wait(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in w.events]
    assert versions == sorted(set(versions))
    w.close()


def test_a_watch_without_a_revision_begins_with_what_there_is(server):
    server.post(SA, account("a"))
    w = Watch(server, SA + "?watch=1")
    assert w.wait(1) == [("ADDED", "a")]
    w.close()


def test_objects_enter_and_leave_a_watch_by_their_labels(server):
    version = server.get(SA)[1]["metadata"]["resourceVersion"]
    w = Watch(server, SA + f"?watch=true&labelSelector=x%3Dy&resourceVersion={version}")
    server.post(SA, account("a"))
    server.patch(SA + "/a", {"metadata": {"labels": {"x": "y"}}})
    server.patch(SA + "/a", {"metadata": {"labels": {"x": "z"}}})
    assert w.wait(2) == [("ADDED", "a"), ("DELETED", "a")]
    w.close()


def test_a_watch_goes_on_after_a_restart(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("a")).start()
    try:
        version = s.get(SA)[1]["metadata"]["resourceVersion"]
        s.post(SA, account("a"))
        s.post(SA, account("b"))
        s.request("DELETE", SA + "/a")
        assert s.stop() == 0
        s.start()
        s.post(SA, account("c"))
        w = Watch(s, SA + f"?watch=true&resourceVersion={version}")
        events = w.wait(4)
        assert events == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("ADDED", "c")]
        w.close()
    finally:
        s.stop()


def test_a_watch_of_the_far_past_is_told_to_list_again(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("a")).start()
    try:
        for i in range(200):
            s.patch(SA + "/a", {"metadata": {"labels": {"n": str(i)}}}) if i else s.post(SA, account("a"))
        s.stop()
        s.start()
        w = Watch(s, SA + "?watch=true&resourceVersion=1")
        wait_for(lambda: w.ended, what="the end of the watch")
        assert [(e["type"], e["object"]["code"]) for e in w.events] == [("ERROR", 410)]
    finally:
        s.stop()


def test_a_stop_ends_watches(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("a")).start()
    w = Watch(s, SA + "?watch=true")
    assert s.stop() == 0
    wait_for(lambda: w.ended, what="the end of the watch")


def test_a_watch_says_when_it_has_told_what_there_was(server):
    server.post(SA, account("a"))
    w = Watch(server, SA + "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
    w.wait(2)
    assert [e["type"] for e in w.events] == ["ADDED", "BOOKMARK"]
    assert w.events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    w.close()


def test_a_watch_can_be_told_to_end(server):
    w = Watch(server, SA + "?watch=true&timeoutSeconds=1")
    wait_for(lambda: w.ended, what="the end of the watch")


def test_many_watches_hear_of_a_change(server):
    watches = [Watch(server, SA + "?watch=true") for _ in range(50)]
    server.post(SA, account("a"))
    for w in watches:
        assert ("ADDED", "a") in w.wait(1)
        w.close()


# -- who may do what


def test_the_socket_is_root_s_alone(server):
    assert server.socket.stat().st_mode & 0o777 == 0o600
    for name in ("admin.token", "viewer.token", "kubeconfig", "store.db"):
        assert (server.state / name).stat().st_mode & 0o777 == 0o600


def test_tokens_have_their_rights(server):
    admin = {"authorization": "Bearer " + server.token()}
    viewer = {"authorization": "Bearer " + server.token("viewer")}
    assert server.tls(admin)[0] == 200
    assert server.tls(viewer)[0] == 200
    assert server.tls({})[0] == 401
    assert server.tls({"authorization": "Bearer nonsense"})[0] == 401
    assert server.tls({}, path="/version")[0] == 200
    body = json.dumps(service())
    assert server.tls(viewer, "POST", SVC, body)[0] == 403
    assert server.tls(admin, "POST", SVC, body)[0] == 201
    assert server.tls(viewer, "DELETE", SVC + "/a")[0] == 403


# -- hostile input


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"metadata":{"name":"a","name":"b"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":[],"spec":{}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":1},"spec":{}}',
        b'{"apiVersion":1,"kind":2}',
        b'{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"a"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"a/../b"},"spec":{"ports":[{"port":1}]}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[' + b'{"port":1},' * 300 + b'{"port":1}]}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"' + b"a" * 100000 + b'"}}',
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":99999999999999999999}]}}',
    ],
    ids=lambda body: hashlib.sha1(body).hexdigest()[:8],
)
def test_a_bad_body_is_a_status_and_nothing_else(server, body):
    status, answer = server.request("POST", SVC, body, {"content-type": "application/json"})
    assert status in (400, 422) and answer["kind"] == "Status" and answer["message"]
    assert server.get(SVC)[1]["items"] == []


def test_a_body_beyond_the_bound_is_refused(server):
    status, answer = server.request("POST", SVC, b" " * (8 * 1024 * 1024 + 1), {"content-type": "application/json"})
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")
    assert server.get("/healthz", raw=True)[0] == 200


@pytest.mark.parametrize(
    "method,path,status",
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/pods", 404),
        ("GET", "/api/v1/namespaces/default/services/a/b/c", 404),
        ("GET", "/api/v1/services/a", 404),
        ("GET", "/api/v1/namespaces/default/namespaces/a", 404),
        ("GET", "/apis/networking.istio.io/v1/namespaces/%2e%2e/virtualservices/%2F", 404),
        ("GET", "/apis/%zz", 404),
        ("POST", "/api/v1/services", 405),
        ("PUT", "/api/v1/namespaces/default/services", 405),
        ("DELETE", "/api/v1/namespaces/default/services/a/status", 405),
        ("OPTIONS", "/api/v1/namespaces/default/services", 405),
        ("GET", "/api/v1/services?limit=x", 400),
        ("GET", "/api/v1/services?continue=!!!", 400),
        ("GET", "/api/v1/services?watch=true&resourceVersion=x", 400),
    ],
)
def test_bad_paths_are_statuses(server, method, path, status):
    got, answer = server.request(method, path)
    assert (got, answer["kind"], answer["code"]) == (status, "Status", status)


def test_a_client_that_leaves_in_the_middle_harms_nobody(server):
    for part in (b"POST " + SVC.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{", b"GET /api", b""):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(server.socket))
        s.sendall(part)
        s.close()
    assert server.get(SVC)[0] == 200


# -- what survives


def test_nothing_acknowledged_is_lost_when_killed(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("a")).start()
    try:
        for i in range(3):
            server_names = set()
            for k in range(20):
                name = f"s{i}-{k}"
                assert s.post(SVC, service(name))[0] == 201
                server_names.add(name)
            s.stop(signal.SIGKILL)
            s.start()
            assert server_names <= {o["metadata"]["name"] for o in s.get(SVC)[1]["items"]}
    finally:
        s.stop()


def test_the_file_s_resources_are_applied_and_bad_ones_named(tmp_path_factory):
    resources = """---
apiVersion: v1
kind: Service
metadata: {name: good}
spec: {ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
---
apiVersion: v1
kind: Service
metadata: {name: bad}
spec: {prots: []}
"""
    s = Server(tmp_path_factory.mktemp("a"), resources).start()
    try:
        log = (s.folder / "log").read_text()
        assert f"{s.config}:15:1: kind Deployment of apps/v1 is not read" in log
        assert f'{s.config}:22:8: spec.prots: unknown field; did you mean "ports"?' in log
        made = s.get(SVC + "/good")[1]
        s.stop()
        s.start()
        assert s.get(SVC + "/good")[1]["metadata"]["uid"] == made["metadata"]["uid"]
        assert s.get(SVC + "/bad")[0] == 404
        s.config.write_text(s.config.read_text().replace("port: 80", "port: 8080"))
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: s.get(SVC + "/good")[1]["spec"]["ports"][0]["port"] == 8080, what="the reload")
    finally:
        s.stop()


# -- kubectl


needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


@needs_kubectl
def test_kubectl_lists_kinds_and_applies_and_deletes(server):
    out = server.kubectl("api-resources").stdout
    assert re.search(r"virtualservices +vs +", out) and re.search(r"jointokens", out)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [service(), route()]})
    assert server.kubectl("apply", "-f", "-", data=text).stdout.count("created") == 2
    assert server.kubectl("apply", "-f", "-", data=text).stdout.count("unchanged") == 2
    out = server.kubectl("get", "vs,svc").stdout
    assert re.search(r"virtualservice.networking.istio.io/r +a ", out) and re.search(r"service/a ", out)
    assert "hosts:" in server.kubectl("get", "vs", "r", "-o", "yaml").stdout
    server.kubectl("label", "svc", "a", "x=y")
    assert server.kubectl("get", "svc", "-l", "x=y", "-o", "name").stdout == "service/a\n"
    server.kubectl("annotate", "vs", "r", "note=1")
    server.kubectl("patch", "svc", "a", "-p", '{"spec":{"ports":[{"port":80,"name":"http"}]}}')
    server.kubectl("create", "namespace", "shop")
    server.kubectl("delete", "ns", "shop", "--timeout=20s")
    server.kubectl("delete", "vs", "r", "--timeout=20s")
    assert "NotFound" in server.kubectl("get", "vs", "r", check=False).stderr
    assert server.kubectl("apply", "--server-side", "-f", "-", data=text).stdout.count("applied") == 2


@needs_kubectl
def test_kubectl_shows_every_problem(server):
    body = route()
    body["spec"]["http"][0].update({"timeout": "soon", "fault": {"abort": {"httpStatus": 42}}})
    err = server.kubectl("apply", "-f", "-", data=json.dumps(body), check=False).stderr
    assert "spec.http[0].timeout" in err and "HTTP status 42" in err
    # Older ones look for unknown fields themselves, later ones leave that to the server.
    body["spec"]["http"][0] = dict(route()["spec"]["http"][0], retrys={})
    p = server.kubectl("apply", "-f", "-", data=json.dumps(body), check=False)
    assert p.returncode == 1 and "retrys" in p.stderr


@needs_kubectl
def test_kubectl_explains_and_compares(server):
    assert "Time for a whole request." in server.kubectl("explain", "vs.spec.http.timeout").stdout
    server.kubectl("apply", "-f", "-", data=json.dumps(route()))
    changed = route()
    changed["spec"]["http"][0]["timeout"] = "5s"
    p = server.kubectl("diff", "-f", "-", data=json.dumps(changed), check=False)
    assert p.returncode == 1 and re.search(r"\+ +timeout: 5s", p.stdout), p.stderr
    server.kubectl("apply", "--dry-run=server", "-f", "-", data=json.dumps(changed))
    assert "timeout" not in server.kubectl("get", "vs", "r", "-o", "yaml").stdout


@needs_kubectl
def test_kubectl_watches(server):
    p = subprocess.Popen(
        [KUBECTL, f"--kubeconfig={server.state / 'kubeconfig'}", f"--cache-dir={server.folder / 'cache'}", "get", "svc", "-w", "-o", "name"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(0.5)
        lines = []
        threading.Thread(target=lambda: lines.extend(iter(p.stdout.readline, "")), daemon=True).start()
        # It lists before it watches; whichever sees the object prints it.
        server.post(SVC, service("seen"))
        wait_for(lambda: "service/seen\n" in lines, what="the object")
    finally:
        p.kill()
        p.wait()


@needs_kubectl
@pytest.mark.skipif(not EXTERNAL.is_dir(), reason="others' samples are not here")
def test_kubectl_applies_istio_s_bookinfo(server):
    samples = EXTERNAL / "istio-samples" / "samples" / "bookinfo"
    for name in ("destination-rule-all", "virtual-service-all-v1", "virtual-service-reviews-90-10", "virtual-service-ratings-test-delay"):
        server.kubectl("apply", "-f", str(samples / "networking" / f"{name}.yaml"))
    p = server.kubectl("apply", "-f", str(samples / "platform" / "kube" / "bookinfo.yaml"), check=False)
    assert p.stdout.count("service/") == 4 and "Deployment" in p.stderr
    got = json.loads(server.kubectl("get", "vs", "ratings", "-o", "json").stdout)
    assert got["spec"]["http"][0]["fault"]["delay"]["fixedDelay"] == "7s"


# -- what is refused although its own text is right


def test_namespaces_of_the_mesh_itself_stay(server):
    status, answer = server.request("DELETE", "/api/v1/namespaces/default")
    assert (status, answer["reason"]) == (403, "Forbidden")


def test_a_script_that_does_not_compile_is_refused(server):
    path = "/apis/ambit.mesh/v1alpha1/namespaces/default/luapolicies"
    status, answer = server.post(path, {"metadata": {"name": "a"}, "spec": {"source": "function on_request("}})
    assert status == 422 and answer["details"]["causes"][0]["field"] == "spec.source"
    assert server.post(path, {"metadata": {"name": "a"}, "spec": {"source": "function on_request(r) end"}})[0] == 201


def test_two_services_cannot_have_one_address(server):
    for name, status in (("a", 201), ("b", 422)):
        body = service(name)
        body["spec"]["clusterIP"] = "10.9.8.7"
        assert server.post(SVC, body)[0] == status


def test_fields_that_are_not_honoured_are_named_in_status(server):
    path = "/apis/networking.istio.io/v1/namespaces/default/destinationrules"
    body = {"metadata": {"name": "d"}, "spec": {"host": "a", "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}}}}
    assert server.post(path, body)[0] == 201

    def condition():
        status = server.get(path + "/d")[1].get("status", {})
        found = [c for c in status.get("conditions", []) if c["type"] == "ambit.mesh/Honoured"]
        return found[0] if found else None

    wait_for(condition, what="the condition")
    assert condition()["status"] == "False" and "spec.trafficPolicy.outlierDetection" in condition()["message"]
    server.patch(path + "/d", {"spec": {"trafficPolicy": None}})
    wait_for(lambda: condition()["status"] == "True", what="the condition to turn")


def test_what_would_weaken_security_when_ignored_is_refused(server):
    path = "/apis/security.istio.io/v1/namespaces/default/authorizationpolicies"
    body = {"metadata": {"name": "p"}, "spec": {"action": "CUSTOM", "provider": {"name": "x"}, "rules": [{}]}}
    status, answer = server.post(path, body)
    assert status == 422 and "weaken security" in answer["message"]
