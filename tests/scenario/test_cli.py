"""ambit apply, get, delete, watch and token against a control plane; the API itself is driven by others in test_api.py."""

import json
import os
import subprocess
import time

import pytest
from api_world import AMBIT, SVC, Server, service, wait_for


@pytest.fixture
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("c")).start()
    yield s
    assert s.stop() == 0


def ambit(server, *args, data=None, code=0):
    env = dict(os.environ, AMBIT_RUN_DIR=str(server.folder / "run"))
    p = subprocess.run([AMBIT, *args], input=data, capture_output=True, text=True, timeout=60, env=env)
    assert p.returncode == code, f"{args}: {p.returncode}\n{p.stdout}\n{p.stderr}"
    return p


TWO = """apiVersion: v1
kind: Service
metadata: {name: a, labels: {tier: web}}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {ports: [{port: 81}]}
"""


def test_apply_says_what_it_did(server):
    assert ambit(server, "apply", "-f", "-", "--dry-run", data=TWO).stdout.count("created (dry run)") == 2
    assert server.get(SVC + "/a")[0] == 404
    assert ambit(server, "apply", "-f", "-", data=TWO).stdout == "service/a created\nservice/b created\n"
    ambit(server, "apply", "-f", "-", data=TWO.replace("port: 80", "port: 8080"))
    assert server.get(SVC + "/a")[1]["spec"]["ports"][0]["port"] == 8080
    assert server.get("/api/v1/namespaces/shop/services/b")[0] == 200


def test_apply_takes_files_and_folders(server):
    folder = server.folder / "yaml"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.yaml").write_text(json.dumps(service(f"s{i}")))
    (folder / "notes.txt").write_text("not: [yaml")
    assert ambit(server, "apply", "-f", str(folder)).stdout.count("created") == 3
    assert ambit(server, "apply", "-f", str(folder / "0.yaml"), "-n", "other").stdout == "service/s0 created\n"
    assert server.get("/api/v1/namespaces/other/services/s0")[0] == 200


def test_apply_names_what_it_leaves_out_and_takes_the_rest(server):
    text = TWO + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: c}\nspec: {prots: []}\n"
    file = server.folder / "mixed.yaml"
    file.write_text(text)
    p = ambit(server, "apply", "-f", str(file), code=1)
    assert p.stdout.count("created") == 2
    assert f"{file}:11:1: kind Deployment of apps/v1 is not read" in p.stderr
    assert f'{file}:18:8: spec.prots: unknown field; did you mean "ports"?' in p.stderr


def test_apply_refuses_a_broken_file_with_its_place(server):
    file = server.folder / "broken.yaml"
    file.write_text("a: [1, 2\nb: c\n")
    p = ambit(server, "apply", "-f", str(file), code=1)
    assert f"{file}:2:" in p.stderr
    ambit(server, "apply", "-f", str(server.folder / "nowhere.yaml"), code=1)
    ambit(server, "apply", code=2)


def test_get_prints_tables_json_and_yaml(server):
    ambit(server, "apply", "-f", "-", data=TWO)
    lines = ambit(server, "get", "svc").stdout.splitlines()
    assert lines[0].split()[:2] == ["NAME", "TYPE"] and lines[1].split()[0] == "a" and len(lines) == 2
    lines = ambit(server, "get", "services", "-A").stdout.splitlines()
    assert lines[0].split()[0] == "NAMESPACE" and len(lines) == 3
    assert ambit(server, "get", "svc", "-n", "shop").stdout.splitlines()[1].startswith("b ")
    assert len(ambit(server, "get", "svc", "-A", "-l", "tier=web").stdout.splitlines()) == 2
    assert json.loads(ambit(server, "get", "Service", "a", "-o", "json").stdout)["metadata"]["name"] == "a"
    assert "\n  name: a\n" in ambit(server, "get", "svc", "a", "-o", "yaml").stdout
    assert "SELECTOR" in ambit(server, "get", "svc", "-o", "wide").stdout
    ambit(server, "get", "svc", "nobody", code=1)
    ambit(server, "get", "nonsense", code=2)


def test_delete_by_name_and_by_file(server):
    ambit(server, "apply", "-f", "-", data=TWO)
    assert "a deleted" in ambit(server, "delete", "svc", "a").stdout
    assert server.get(SVC + "/a")[0] == 404
    ambit(server, "delete", "svc", "a", code=1)
    ambit(server, "apply", "-f", "-", data=TWO)
    ambit(server, "delete", "-f", "-", data=TWO)
    assert server.get("/api/v1/services")[1]["items"] == []


def test_watch_prints_changes_as_they_come(server):
    env = dict(os.environ, AMBIT_RUN_DIR=str(server.folder / "run"))
    with open(server.folder / "watched", "w+") as out:
        p = subprocess.Popen([AMBIT, "watch", "svc"], stdout=out, env=env)
        try:
            time.sleep(0.3)
            server.post(SVC, service("late"))
            wait_for(lambda: "late" in (server.folder / "watched").read_text(), what="the line")
        finally:
            p.kill()
            p.wait()


def test_token_prints_the_secret_alone(server):
    p = ambit(server, "token", "create", "--host", "vm1", "--identity", "shop/web", "--ttl", "5m")
    assert p.stdout.startswith("ambit1.") and p.stdout.count("\n") == 1
    name = p.stdout.split(".")[1]
    listed = ambit(server, "token", "list").stdout
    assert name in listed and "vm1" in listed and p.stdout.strip().split(".")[-1] not in listed
    ambit(server, "token", "revoke", name)
    assert name not in ambit(server, "token", "list").stdout


def test_tls_with_a_token_works_as_the_socket_does(server):
    m = server.url()
    roots = server.folder / "root.pem"
    roots.write_bytes((server.state / "ca" / "root-cert.pem").read_bytes())
    args = ["--server", f"https://{m[1]}:{m[2]}", "--ca-file", str(roots), "--token-file", str(server.state / "admin.token")]
    ambit(server, "apply", "-f", "-", *args, data=TWO)
    assert ambit(server, "get", "svc", *args).stdout.splitlines()[1].startswith("a ")
    ambit(server, "delete", "svc", "a", "--server", f"https://{m[1]}:{m[2]}", "--ca-file", str(roots), "--token-file",
          str(server.state / "viewer.token"), code=1)


def test_no_control_plane_is_one_sentence(server):
    env = dict(os.environ, AMBIT_RUN_DIR=str(server.folder / "nowhere"))
    p = subprocess.run([AMBIT, "get", "svc"], capture_output=True, text=True, env=env, timeout=30)
    assert p.returncode == 2 and p.stderr.count("\n") == 1 and "nowhere" in p.stderr
