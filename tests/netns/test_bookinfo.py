"""Istio's own Bookinfo files, applied unmodified, behave as Istio documents; so does the RouteTable that says the same."""

from collections import Counter

import pytest
from conftest import external, wait_for

BOOKINFO = ("istio-samples", "samples", "bookinfo")


def versions(lab, count, headers=None):
    """How often each version of reviews answered."""
    seen = Counter()
    for _ in range(count):
        answer = lab.get("http://reviews:9080/reviews/0", headers)
        seen[answer.json["podname"] if answer.status == 200 else answer.status] += 1
    return seen


def only(lab, version, headers=None, count=12):
    return set(versions(lab, count, headers)) == {f"reviews-{version}"}


def ready(lab, *names):
    wait_for(lambda: all(lab.waypoints().get(n) for n in names), 20, f"waypoints {names} are ready")


@pytest.fixture
def subsets(clean):
    clean.apply(external(*BOOKINFO, "networking", "destination-rule-all.yaml"))
    return clean


def test_without_routes_every_version_answers(clean):
    assert set(versions(clean, 30)) == {"reviews-v1", "reviews-v2", "reviews-v3"}
    assert clean.waypoints() == {}


def test_all_v1(subsets):
    subsets.apply(external(*BOOKINFO, "networking", "virtual-service-all-v1.yaml"))
    ready(subsets, "waypoint-bookinfo-reviews")
    wait_for(lambda: only(subsets, "v1"), 20, "only v1 answers")
    assert "Reviewer1" in subsets.get("http://productpage:9080/productpage").body


def test_90_10(subsets):
    subsets.apply(external(*BOOKINFO, "networking", "virtual-service-reviews-90-10.yaml"))
    wait_for(lambda: set(versions(subsets, 10)) <= {"reviews-v1", "reviews-v2"}, 20, "v3 is out")
    seen = versions(subsets, 100)
    assert seen["reviews-v3"] == 0
    assert 1 <= seen["reviews-v2"] <= 28, seen  # 10 of 100; outside this once in a million runs


def test_80_20(subsets):
    subsets.apply(external(*BOOKINFO, "networking", "virtual-service-reviews-80-20.yaml"))
    wait_for(lambda: set(versions(subsets, 10)) <= {"reviews-v1", "reviews-v2"}, 20, "v3 is out")
    seen = versions(subsets, 100)
    assert 4 <= seen["reviews-v2"] <= 42, seen


def test_header_route_for_user_jason(subsets):
    subsets.apply(external(*BOOKINFO, "networking", "virtual-service-reviews-jason-v2-v3.yaml"))
    wait_for(lambda: only(subsets, "v2", {"end-user": "jason"}), 20, "jason gets v2")
    assert only(subsets, "v3")


def test_delay_fault_for_jason_alone(subsets):
    subsets.apply(external(*BOOKINFO, "networking", "virtual-service-ratings-test-delay.yaml"))
    ready(subsets, "waypoint-bookinfo-ratings")
    slow = subsets.get("http://ratings:9080/ratings/0", {"end-user": "jason"})
    assert slow.status == 200 and 6.9 <= slow.seconds <= 9, slow
    quick = subsets.get("http://ratings:9080/ratings/0")
    assert quick.status == 200 and quick.seconds < 2, quick


def test_abort_fault_for_jason_alone(subsets):
    subsets.apply(external(*BOOKINFO, "networking", "virtual-service-ratings-test-abort.yaml"))
    ready(subsets, "waypoint-bookinfo-ratings")
    wait_for(lambda: subsets.get("http://ratings:9080/ratings/0", {"end-user": "jason"}).status == 500, 10, "jason is refused")
    assert subsets.get("http://ratings:9080/ratings/0").status == 200


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("route-reviews-v1.yaml", {"reviews-v1"}),
        ("route-reviews-v3.yaml", {"reviews-v3"}),
        ("route-reviews-90-10.yaml", {"reviews-v1", "reviews-v2"}),
        ("route-reviews-50-v3.yaml", {"reviews-v1", "reviews-v3"}),
    ],
)
def test_gateway_api_routes(clean, file, allowed):
    clean.apply(external(*BOOKINFO, "gateway-api", file))
    ready(clean, "waypoint-bookinfo-reviews")
    wait_for(lambda: set(versions(clean, 12)) <= allowed, 20, f"only {allowed} answer")


def test_route_table_does_the_same(clean):
    clean.apply(
        """
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: reviews, namespace: bookinfo}
spec:
  hosts: [reviews.bookinfo.svc.cluster.local]
  http:
  - name: jason
    matchers:
    - headers: [{name: end-user, value: jason}]
    forwardTo:
      destinations:
      - ref: {name: reviews, namespace: bookinfo}
        port: {number: 9080}
        subset: {version: v2}
  - name: rest
    forwardTo:
      destinations:
      - ref: {name: reviews, namespace: bookinfo}
        port: {number: 9080}
        subset: {version: v3}
"""
    )
    wait_for(lambda: only(clean, "v2", {"end-user": "jason"}), 20, "jason gets v2")
    assert only(clean, "v3")


def test_a_kind_that_is_not_read_is_refused_by_name_and_the_rest_is_applied(clean):
    done = clean.apply(
        """
apiVersion: apps/v1
kind: Deployment
metadata: {name: nothing}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
""",
        check=False,
    )
    assert done.returncode == 1
    assert "Deployment" in done.stderr
    assert [v["metadata"]["name"] for v in clean.objects("virtualservices")] == ["reviews"]
