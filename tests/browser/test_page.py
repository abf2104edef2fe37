"""The page in a real browser under load: what it shows, that it stays still, that nothing is amiss on its console."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "scenario"))

import fake_mesh  # noqa: E402
from test_metrics_ui import BUILD, WAYPOINT, Ui  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def driver():
    """A folder of the build with playwright-core in it."""
    if not os.path.exists(CHROMIUM) or shutil.which("npm") is None:
        pytest.skip("needs chromium and npm")
    work = BUILD / "tests" / "browser"
    work.mkdir(parents=True, exist_ok=True)
    stamp = work / "installed"
    lock = (HERE / "package-lock.json").read_text()
    for name in ("package.json", "package-lock.json", ".npmrc", "page.mjs"):
        shutil.copyfile(HERE / name, work / name)
    if not stamp.exists() or stamp.read_text() != lock:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-progress"], cwd=work, check=True, timeout=180, stdout=subprocess.DEVNULL)
        stamp.write_text(lock)
    return work


@pytest.fixture(scope="module")
def seen(driver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    shots = Path(os.environ.get("AMBIT_SCREENSHOTS", driver / "screenshots"))
    shots.mkdir(parents=True, exist_ok=True)
    mesh = fake_mesh.Mesh()
    mesh.add_waypoint()
    mesh.weights, mesh.fault, mesh.denied = (70, 20, 10), 0.0, 0.05
    ui = Ui(mesh, folder).start()
    try:
        if b"--disable-web" in ui.get("/")[2]:
            pytest.skip("built with --disable-web")
        over = threading.Event()
        load = threading.Thread(target=mesh.run, args=(over,), daemon=True)
        ui.settle()
        load.start()
        r = subprocess.run(
            ["node", "page.mjs", f"http://127.0.0.1:{ui.port}/", str(shots)], cwd=driver, capture_output=True, text=True, timeout=180
        )
        over.set()
        assert r.returncode == 0, r.stdout + r.stderr
        return json.loads(r.stdout)
    finally:
        assert ui.stop() == 0


def edges(step):
    return {(e["source"], e["target"]): e for e in step["edges"]}


def test_nothing_is_amiss_on_the_console(seen):
    assert seen["errors"] == []


def test_nothing_is_fetched_from_elsewhere(seen):
    assert seen["foreign"] == []


def test_the_picture_shows_who_talks_to_whom(seen):
    step = seen["steps"]["folded"]
    found = edges(step)
    assert len(step["nodes"]) == 8 and "ns:bookinfo" in step["boxes"] and "app:bookinfo/reviews" in step["boxes"]
    page = "w:bookinfo/productpage-v1"
    to_reviews = [e for (s, t), e in found.items() if s == page and "/reviews-" in t]
    assert len(to_reviews) == 3
    assert abs(sum(e["traffic"]["requests"] for e in to_reviews) - 20) < 5
    assert all(e["via"] == [WAYPOINT] and e["traffic"]["mtls"] == 1 and e["traffic"]["p95"] > 0 for e in to_reviews)
    assert found[("w:load/client-v1", "w:bookinfo/ratings-v1")]["health"] == "bad"
    assert found[("w:load/client-v1", page)]["health"] == "ok"
    assert "7/7" in seen["steps"]["status"]
    assert "mTLS" in seen["steps"]["tiles"] and "100%" in seen["steps"]["tiles"]


def test_the_picture_stays_still_between_answers(seen):
    assert seen["steps"]["later"]["places"] == seen["steps"]["folded"]["places"]


def test_waypoints_can_be_shown_and_folded(seen):
    shown = edges(seen["steps"]["shown"])
    wp = "wp:" + WAYPOINT
    assert ("w:bookinfo/productpage-v1", wp) in shown and (wp, "w:bookinfo/reviews-v1") in shown
    assert ("w:bookinfo/productpage-v1", "w:bookinfo/reviews-v1") not in shown


def test_an_edge_explains_itself(seen):
    panel = seen["steps"]["edgePanel"]
    assert "productpage" in seen["steps"]["edgeTitle"] and "reviews" in seen["steps"]["edgeTitle"]
    for words in ("Mutual TLS", "via waypoint-bookinfo-reviews", "p95", "Hop by hop", "Why a waypoint", "splits HTTP requests by weight",
                  "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage"):
        assert words.lower() in panel.lower(), words


def test_keys_do_what_the_pointer_does(seen):
    steps = seen["steps"]
    assert steps["nodeTitle"]
    assert "w:bookinfo/ratings-v1" in steps["found"] and "w:bookinfo/productpage-v1" not in steps["found"]
    assert "window=30" in steps["hash"]
    assert steps["paused"] == "Paused"


def test_a_small_screen_does_not_scroll_sideways(seen):
    assert seen["steps"]["narrow"] <= 0
