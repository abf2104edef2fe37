/* lab_config.c -- writes what an operator would write: one YAML file for the hub, with the mesh's resources behind it, and one a VM. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "lab/lab.h"

#define FILE_MAX_SIZE ((size_t)256 * 1024)

static int
write_text(const char *folder, const char *file, mode_t mode, struct ap_buf *text, struct ap_error *err)
{
	char path[300];
	int rc;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	rc = text->bad ? ap_error_set(err, -1, "%s would be larger than %zu bytes.", path, FILE_MAX_SIZE) :
			 ap_file_write(path, ap_buf_slice(text), mode, err);
	ap_buf_done(text);
	return rc;
}

static int
write_resolv_conf(const struct lab *lab, const char *folder, struct ap_error *err)
{
	struct ap_buf text;

	/* Nothing listens there: the ztunnel takes every question on its way out and answers those of the mesh. */
	ap_buf_init(&text, 4096);
	ap_buf_printf(&text,
	    "nameserver %s.1\nsearch " LAB_NAMESPACE ".svc." LAB_DOMAIN " svc." LAB_DOMAIN " " LAB_DOMAIN
	    "\noptions ndots:5 timeout:2 attempts:2\n",
	    lab->net);
	return write_text(folder, "resolv.conf", 0644, &text, err);
}

static void
add_service(struct ap_buf *b, const char *name, const char *app, const char *version, const char *port_name, unsigned port)
{
	ap_buf_printf(b,
	    "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: %s\n  namespace: " LAB_NAMESPACE
	    "\n  labels: {app: %s, service: %s}\nspec:\n  selector: {app: %s%s%s}\n  ports:\n  - {name: %s, port: %u, "
	    "targetPort: %s}\n",
	    name, app, app, app, version == NULL ? "" : ", version: ", version == NULL ? "" : version, port_name, port, port_name);
}

static void
add_resources(struct ap_buf *b)
{
	size_t count;
	const struct lab_vm *vms = lab_vms(&count);
	static const char *const apps[] = { "productpage", "details", "ratings", "reviews" };
	static const char *const versioned[][2] = { { "productpage", "v1" }, { "details", "v1" }, { "ratings", "v1" },
		{ "reviews", "v1" }, { "reviews", "v2" }, { "reviews", "v3" } };
	const char *last = "";

	ap_buf_add_text(b, "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: " LAB_NAMESPACE
			   "\n  labels: {istio.io/dataplane-mode: ambient}\n");
	for (size_t i = 0; i < count; i++) {
		for (const struct lab_program *p = vms[i].programs; p->workload != NULL; p++) {
			if (strcmp(last, p->service_account) == 0)
				continue; /* the three reviews share one */
			last = p->service_account;
			ap_buf_printf(b,
			    "---\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %s\n  namespace: " LAB_NAMESPACE "\n",
			    p->service_account);
		}
	}
	for (size_t i = 0; i < AP_COUNTOF(apps); i++)
		add_service(b, apps[i], apps[i], NULL, "http", 9080);
	for (size_t i = 0; i < AP_COUNTOF(versioned); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s-%s", versioned[i][0], versioned[i][1]);
		add_service(b, name, versioned[i][0], versioned[i][1], "http", 9080);
	}
	add_service(b, "redis", "redis", NULL, "tcp-redis", 6379);
}

static void
add_head(struct ap_buf *b, const char *name, const char *roles, const char *folder)
{
	ap_buf_printf(b,
	    "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata:\n  name: %s\nspec:\n  roles: [%s]\n  workers: 1\n"
	    "  runDir: %s/run\n  stateDir: %s/state\n",
	    name, roles, folder, folder);
}

int
lab_write_hub(const struct lab *lab, struct ap_error *err)
{
	char folder[160], hub[32];
	struct ap_buf b;

	lab_vm_folder(lab, LAB_HUB, folder, sizeof(folder));
	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	if (ap_dir_make(folder, 0755, err) != 0 || write_resolv_conf(lab, folder, err) != 0)
		return err->code;
	ap_buf_init(&b, FILE_MAX_SIZE);
	add_head(&b, LAB_HUB, "control-plane, waypoint-manager, metrics-ui", folder);
	ap_buf_printf(&b,
	    "  controlPlane:\n    address: \"%s:15012\"\n    caFile: %s/state/control-plane/ca/root-cert.pem\n"
	    "  host:\n    region: lab\n    zone: lab-hub\n    addresses: [%s]\n"
	    "  controlPlaneServer:\n    xds: \"%s:15012\"\n    api: \"%s:6443\"\n    names: [\"%s\"]\n"
	    "  waypointManager:\n    drain: 2s\n"
	    "  metricsUi:\n    listen: \"%s:20001\"\n    scrapeInterval: 2s\n",
	    hub, folder, hub, hub, hub, hub, hub);
	add_resources(&b);
	return write_text(folder, "ambit.yaml", 0644, &b, err);
}

static void
add_workload(struct ap_buf *b, const struct lab *lab, const struct lab_vm *vm, const struct lab_program *p)
{
	ap_buf_printf(b,
	    "  - name: %s\n    namespace: " LAB_NAMESPACE "\n    serviceAccount: %s\n    labels: {app: %s, version: %s}\n",
	    p->workload, p->service_account, p->app, p->version);
	if (p->select == LAB_BY_CGROUP && lab->cgroup[0] != '\0')
		ap_buf_printf(b, "    select: {cgroup: %s/%s.%s}\n", lab->cgroup_path, vm->name, p->app);
	else
		ap_buf_printf(b, "    select: {user: \"%u\"}\n", p->uid);
	if (p->port != 0)
		ap_buf_printf(b, "    ports: [{name: %s, port: %u}]\n", p->port_name, p->port);
}

int
lab_write_vm(const struct lab *lab, const struct lab_vm *vm, struct ap_error *err)
{
	char folder[160], hub[32], address[32];
	struct ap_buf b;

	lab_vm_folder(lab, vm->name, folder, sizeof(folder));
	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	lab_address(lab, vm->number, address, sizeof(address));
	if (ap_dir_make(folder, 0755, err) != 0 || write_resolv_conf(lab, folder, err) != 0)
		return err->code;
	ap_buf_init(&b, FILE_MAX_SIZE);
	add_head(&b, vm->name, "ztunnel", folder);
	ap_buf_printf(&b,
	    "  controlPlane:\n    address: \"%s:15012\"\n    caFile: %s/root.pem\n    tokenFile: %s/token\n"
	    "  host:\n    region: lab\n    zone: lab-%s\n    addresses: [%s]\n"
	    "  capture: {mode: mesh}\n  drain: 2s\n  workloads:\n",
	    hub, lab->folder, folder, vm->name, address);
	for (const struct lab_program *p = vm->programs; p->workload != NULL; p++)
		add_workload(&b, lab, vm, p);
	return write_text(folder, "ambit.yaml", 0644, &b, err);
}

int
lab_write_kubeconfig(const struct lab *lab, struct ap_error *err)
{
	char hub[32];
	struct ap_buf b;

	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	ap_buf_init(&b, FILE_MAX_SIZE);
	ap_buf_printf(&b,
	    "apiVersion: v1\nkind: Config\ncurrent-context: ambit\nclusters:\n- name: ambit\n  cluster:\n    server: https://%s:6443\n"
	    "    certificate-authority: %s/root.pem\nusers:\n- name: admin\n  user:\n    tokenFile: %s/" LAB_HUB
	    "/state/control-plane/admin.token\ncontexts:\n- name: ambit\n  context: {cluster: ambit, user: admin, namespace: "
	    LAB_NAMESPACE "}\n",
	    hub, lab->folder, lab->folder);
	return write_text(lab->folder, "kubeconfig", 0600, &b, err);
}
