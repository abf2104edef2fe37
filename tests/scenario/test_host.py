"""The module host: what it refuses, in which order it calls, and that a bad reload changes nothing."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AMBIT_BUILD", ROOT / "build"))
AMBIT = os.environ.get("AMBIT", str(BUILD / "ambit"))
ROLES = BUILD / "tests" / "scenario" / "roles" / ".libs"

HEAD = "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata: {{name: t}}\nspec:\n  runDir: {d}/run\n  stateDir: {d}/state\n"


@pytest.fixture
def folder(tmp_path_factory):
    # Short, for Unix sockets.
    return tmp_path_factory.mktemp("h")


def write(folder, roles, rest=""):
    path = folder / "ambit.yaml"
    path.write_text(HEAD.format(d=folder) + f"  roles: [{', '.join(roles)}]\n" + rest)
    return path


def run(path, *extra):
    return subprocess.run(
        [AMBIT, "run", "-c", path, "--role-dir", ROLES, *extra], capture_output=True, text=True, timeout=30
    )


def wait_for(condition, deadline=10.0, what="condition"):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)


@pytest.fixture
def started(folder):
    """Start with the given roles and file; returns (process, trace lines)."""
    running = []

    def start(roles, rest="", env=None):
        path = write(folder, roles, rest)
        process = subprocess.Popen(
            [AMBIT, "run", "-c", path, "--role-dir", ROLES], env={**os.environ, **(env or {})}, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)
        process.stderr.close()


def trace(folder):
    path = folder / "trace"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        (["missing"], ["role 'missing'", "there is no module", "missing.so"]),
        (["stranger"], ["role 'stranger'", "is not a module of ambit"]),
        (["old"], ["role 'old'", "some other build"]),
        (["alien"], ["role 'alien'", "contract 4711"]),
        (["circle-a", "circle-b"], ["circle-a", "needs it"]),
        (["second"], ["second", "test.first", "no loaded role offers"]),
        (["first", "first"], ["first", "twice"]),
        (["../first"], ["../first"]),
    ],
)
def test_a_bad_set_of_roles_is_one_sentence_and_exit_2(folder, roles, says):
    done = run(write(folder, [f'"{r}"' for r in roles]))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in says:
        assert word in done.stderr


def test_every_problem_of_the_file_is_told_at_once_with_its_place(folder):
    path = write(folder, ["first"], "  wrokers: 2\n  capture: {mode: mehs}\n  first: {trase: x}\n")
    done = run(path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert any(":8:3:" in line and "workers" in line for line in lines), done.stderr
    assert any(":9:" in line and "mesh" in line for line in lines), done.stderr
    checked = run(path, "--role", "first", "--check")
    assert checked.returncode == 2
    assert any(":10:" in line and "trace" in line for line in checked.stderr.splitlines()), checked.stderr


def test_check_says_fine_and_starts_nothing(folder):
    done = run(write(folder, ["first"], f"  first: {{trace: {folder}/trace}}\n"), "--check")
    assert done.returncode == 0 and "fine" in done.stdout
    assert trace(folder) == []


def test_life_goes_in_order_of_needs_and_back(folder, started):
    rest = f"  first: {{trace: {folder}/trace}}\n  second: {{trace: {folder}/trace}}\n"
    process = started(["second", "first"], rest)
    wait_for(lambda: "second start" in trace(folder))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert trace(folder) == [
        "first init", "second init", "first start", "second start", "first drain", "second drain",
        "second stop", "first stop", "second fini", "first fini",
    ]


def test_reload_commits_everywhere_or_nowhere(folder, started):
    rest = f"  first: {{trace: {folder}/trace}}\n  second: {{trace: {folder}/trace}}\n"
    process = started(["first", "second"], rest)
    wait_for(lambda: "second start" in trace(folder))
    time_of_start = len(trace(folder))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: trace(folder)[time_of_start:] == ["first prepare", "second prepare", "first commit", "second commit"],
             what="reload")
    write(folder, ["first", "second"], rest.replace(f"second: {{", "second: {refuse: true, "))
    before = len(trace(folder))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: trace(folder)[before:] == ["first prepare", "second prepare", "first abort"], what="refusal")
    write(folder, ["first", "second"], "  nonsense: [\n")
    process.send_signal(signal.SIGHUP)
    write_ok = len(trace(folder))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert trace(folder)[write_ok] == "first drain"  # the broken file reached no role
    assert "old configuration stays" in process.stderr.read()


def test_a_role_that_never_gets_idle_is_stopped_at_the_deadline(folder, started):
    process = started(["first"], f"  drain: 300ms\n  first: {{trace: {folder}/trace, slow: true}}\n")
    wait_for(lambda: "first start" in trace(folder))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert trace(folder)[-1] == "first fini"


def test_systemd_is_told_ready_reloading_and_stopping(folder, started):
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(10)
        process = started(["first"], f"  first: {{trace: {folder}/trace}}\n", {"NOTIFY_SOCKET": path})
        assert s.recv(4096).decode().startswith("READY=1")
        process.send_signal(signal.SIGHUP)
        assert s.recv(4096).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert s.recv(4096).decode().startswith("READY=1")
        process.send_signal(signal.SIGTERM)
        assert s.recv(4096).decode().startswith("STOPPING=1")
        assert process.wait(timeout=10) == 0


def test_admin_socket_answers_and_refuses(folder, started):
    process = started(["first"], f"  first: {{trace: {folder}/trace}}\n")
    admin = folder / "run" / "admin-t.sock"
    wait_for(admin.exists)

    def ask(path, *extra):
        return subprocess.run(["curl", "-s", "-w", "\n%{http_code}", "--unix-socket", admin, *extra, f"http://localhost{path}"],
                              capture_output=True, text=True, timeout=10).stdout

    wait_for(lambda: ask("/readyz").endswith("200"))
    assert oct(admin.stat().st_mode & 0o777) == "0o600"
    assert '"roles":["first"]' in ask("/status")
    assert "process_open_fds" in ask("/metrics")
    assert ask("/logging?level=debug", "-X", "POST").endswith("200")
    assert ask("/logging?level=loud", "-X", "POST").endswith("400")
    assert ask("/logging?level=debug").endswith("405")
    assert ask("/nothing").endswith("404")
    ask("/quitquitquit", "-X", "POST")
    assert process.wait(timeout=10) == 0
    assert not admin.exists()
