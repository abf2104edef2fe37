/* lab_status.c -- what is in the lab and where to reach it, for people and, with -o json, for scripts. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/lab.h"

static void
add_programs(struct ap_buf *b, const struct lab_vm *vm)
{
	for (const struct lab_program *p = vm->programs; p->workload != NULL; p++) {
		ap_buf_printf(b,
		    "%s{\"workload\":\"%s\",\"namespace\":\"" LAB_NAMESPACE
		    "\",\"serviceAccount\":\"%s\",\"identity\":\"spiffe://" LAB_DOMAIN "/ns/" LAB_NAMESPACE
		    "/sa/%s\",\"app\":\"%s\",\"version\":\"%s\",\"port\":%u,\"user\":%u,\"selectedBy\":\"%s\"}",
		    p == vm->programs ? "" : ",", p->workload, p->service_account, p->service_account, p->app, p->version,
		    p->port, p->uid, p->select == LAB_BY_CGROUP ? "cgroup" : "user");
	}
}

static int
print_json(const struct lab *lab, bool up)
{
	size_t count;
	const struct lab_vm *vms = lab_vms(&count);
	char hub[32], address[32], ns[64];
	struct ap_buf b;

	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	lab_namespace(lab, LAB_HUB, ns, sizeof(ns));
	ap_buf_init(&b, (size_t)1 << 20);
	ap_buf_printf(&b,
	    "{\"up\":%s,\"name\":\"%s\",\"folder\":\"%s\",\"ui\":\"http://%s:20001/\",\"api\":\"https://%s:6443\",\"kubeconfig\":"
	    "\"%s/kubeconfig\",\"apiSocket\":\"%s/" LAB_HUB "/run/api.sock\",\"runDir\":\"%s/" LAB_HUB "/run\",\"xds\":\"%s:15012\","
	    "\"root\":\"%s/root.pem\",\"trustDomain\":\"" LAB_DOMAIN "\",\"namespace\":\"" LAB_NAMESPACE "\",\"hub\":{\"name\":\""
	    LAB_HUB "\",\"address\":\"%s\",\"netns\":\"%s\"},\"vms\":[",
	    up ? "true" : "false", lab->name, lab->folder, hub, hub, lab->folder, lab->folder, lab->folder, hub, lab->folder, hub,
	    ns);
	for (size_t i = 0; i < count; i++) {
		lab_address(lab, vms[i].number, address, sizeof(address));
		lab_namespace(lab, vms[i].name, ns, sizeof(ns));
		ap_buf_printf(&b, "%s{\"name\":\"%s\",\"address\":\"%s\",\"netns\":\"%s\",\"folder\":\"%s/%s\",\"ready\":%s,\"workloads\":[",
		    i == 0 ? "" : ",", vms[i].name, address, ns, lab->folder, vms[i].name,
		    up && lab_is_ready(lab, vms[i].name, vms[i].name) ? "true" : "false");
		add_programs(&b, &vms[i]);
		ap_buf_add_text(&b, "]}");
	}
	ap_buf_add_text(&b, "]}\n");
	fwrite(b.ptr, 1, b.len, stdout);
	ap_buf_done(&b);
	return up ? 0 : 1;
}

static int
print_table(const struct lab *lab)
{
	size_t count;
	const struct lab_vm *vms = lab_vms(&count);
	char hub[32], address[32];

	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	printf("%-10s %-12s %-8s %-16s %-22s %-6s %s\n", "VM", "ADDRESS", "ZTUNNEL", "WORKLOAD", "SERVICE ACCOUNT", "PORT", "TOLD BY");
	printf("%-10s %-12s %-8s %s\n", LAB_HUB, hub, lab_is_ready(lab, LAB_HUB, LAB_HUB) ? "-" : "down",
	    "control plane, waypoint manager, web page");
	for (size_t i = 0; i < count; i++) {
		const char *ready = lab_is_ready(lab, vms[i].name, vms[i].name) ? "ready" : "down";

		lab_address(lab, vms[i].number, address, sizeof(address));
		for (const struct lab_program *p = vms[i].programs; p->workload != NULL; p++) {
			bool first = p == vms[i].programs;
			char port[8] = "-";

			if (p->port != 0)
				snprintf(port, sizeof(port), "%u", p->port);
			printf("%-10s %-12s %-8s %-16s %-22s %-6s %s\n", first ? vms[i].name : "", first ? address : "",
			    first ? ready : "", p->workload, p->service_account, port,
			    p->select == LAB_BY_CGROUP ? "cgroup" : "user");
		}
	}
	printf("\nPage        http://%s:20001/\nAPI         https://%s:6443  (kubectl --kubeconfig %s/kubeconfig)\nCommands    "
	       "AMBIT_RUN_DIR=%s/" LAB_HUB "/run ambit get ...\nLogs        %s/<vm>/*.log\n",
	    hub, hub, lab->folder, lab->folder, lab->folder);
	return 0;
}

int
lab_status(const struct lab *lab, bool json)
{
	bool up = lab_is_up(lab);

	if (json)
		return print_json(lab, up);
	if (!up) {
		printf("The lab is down; 'ambit lab up' starts it.\n");
		return 1;
	}
	return print_table(lab);
}
