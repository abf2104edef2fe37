/* test_labels.c -- Istio's labels and baggage. */
#include "../test.h"

#include "base/buf.h"
#include "mesh/labels.h"
#include "wire.h"

static void
unknown_fills_what_is_not_known(void **state)
{
	struct ap_mesh_ends ends = { .reporter = AP_REPORTER_DESTINATION };
	struct ap_slice v[AP_MESH_LABEL_COUNT];
	size_t i;

	(void)state;
	ap_mesh_labels(&ends, v);
	assert_true(ap_slice_eq_text(v[0], "destination"));
	for (i = 1; i < 20; i++)
		assert_true(ap_slice_eq_text(v[i], "unknown"));
	assert_true(ap_slice_eq_text(v[20], "tcp"));
	assert_true(ap_slice_eq_text(v[21], "-"));
	assert_true(ap_slice_eq_text(v[22], "unknown"));
	for (i = 23; i < 27; i++)
		assert_int_equal(v[i].len, 0);
}

static void
a_connection_is_counted_once_with_its_labels(void **state)
{
	struct ap_shard *shard = ap_shard_new("test");
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_mesh_ends ends = { .mutual_tls = true };
	struct ap_mesh_series series;
	struct ap_buf out;

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "c", .ns = "x", .sa = "c" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "s", .ns = "y", .sa = "s" });
	wire_add_service(t, &(struct wire_service){ .ns = "y", .host = "s.y" });
	ends.source = ap_mesh_find_workload(t, AP_S("c"));
	ends.destination = ap_mesh_find_workload(t, AP_S("s"));
	ends.service = ap_mesh_find_service(t, AP_S("y/s.y"));
	ends.source_principal = ends.source->identity;
	ends.destination_principal = ends.destination->identity;
	ap_mesh_count_open(shard, &ends, &series);
	ap_series_add(series.received, 7);
	ends.flags = AP_FLAG_DENY;
	ap_mesh_count_close(shard, &ends);
	ap_buf_init(&out, 1024 * 1024);
	ap_metrics_write(&out);
	assert_non_null(strstr(out.ptr,
	    "istio_tcp_connections_opened_total{reporter=\"source\",source_workload=\"c\",source_canonical_service=\"c\","
	    "source_canonical_revision=\"unknown\",source_workload_namespace=\"x\","
	    "source_principal=\"spiffe://cluster.local/ns/x/sa/c\",source_app=\"c\",source_version=\"unknown\","
	    "source_cluster=\"Kubernetes\",destination_service=\"s.y\",destination_service_namespace=\"y\","
	    "destination_service_name=\"s.y\",destination_workload=\"s\",destination_canonical_service=\"s\","
	    "destination_canonical_revision=\"unknown\",destination_workload_namespace=\"y\","
	    "destination_principal=\"spiffe://cluster.local/ns/y/sa/s\",destination_app=\"s\","
	    "destination_version=\"unknown\",destination_cluster=\"Kubernetes\",request_protocol=\"tcp\","
	    "response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 1"));
	assert_non_null(strstr(out.ptr, "istio_tcp_connections_failed_total{"));
	assert_non_null(strstr(out.ptr, "response_flags=\"DENY\""));
	assert_null(strstr(out.ptr, "source_region"));
	ap_buf_done(&out);
	ap_mesh_table_free(&t);
	ap_shard_free(&shard);
}

static void
baggage_survives_the_wire(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_mesh_baggage b;
	char text[AP_MESH_BAGGAGE_MAX];
	size_t len;

	(void)state;
	wire_add_workload(
	    t, &(struct wire_workload){ .uid = "c", .ns = "x", .sa = "c", .region = "eu", .zone = "eu-1" });
	len = ap_mesh_baggage_format(ap_mesh_find_workload(t, AP_S("c")), text);
	assert_true(ap_slice_eq_text(ap_slice(text, len),
	    "k8s.cluster.name=Kubernetes,k8s.namespace.name=x,k8s.deployment.name=c,service.name=c,cloud.region=eu,"
	    "cloud.availability_zone=eu-1"));
	ap_mesh_baggage_parse(ap_slice(text, len), &b);
	assert_true(ap_slice_eq_text(b.namespace_, "x"));
	assert_true(ap_slice_eq_text(b.workload, "c"));
	assert_true(ap_slice_eq_text(b.workload_type, "deployment"));
	assert_true(ap_slice_eq_text(b.zone, "eu-1"));
	assert_int_equal(b.version.len, 0);
	ap_mesh_baggage_parse(AP_S(",,=,a,k8s.name,k8s..name=z,k8s.pod.name=,service.name=q"), &b);
	assert_int_equal(b.workload.len, 0);
	assert_true(ap_slice_eq_text(b.service, "q"));
	ap_mesh_table_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_fills_what_is_not_known),
		cmocka_unit_test(a_connection_is_counted_once_with_its_labels),
		cmocka_unit_test(baggage_survives_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
