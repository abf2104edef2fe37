/*
 * api_auth.c -- who calls and what they may do.
 *
 * The Unix socket can be opened by root alone and has full rights.  Over TLS a bearer token or a client certificate of the
 * mesh's authority says who calls; the two tokens are made at the first start and lie in files that only the control plane's
 * user can read.  A certificate of spiffe://<td>/ns/<root namespace>/sa/admin is the administrator's, .../sa/viewer a
 * reader's; hosts and workloads have no business here.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/b64.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "control_plane/api/api_priv.h"
#include "net/listener.h"
#include "net/tls.h"
#include "net/x509.h"

/* Read the token of a file, or make the file. */
static int
token_file(struct cp_api *api, const char *name, char out[64], struct ap_error *err)
{
	unsigned char bytes[30];
	struct ap_buf text;
	struct ap_slice token;
	char path[4096];
	int rc;

	snprintf(path, sizeof(path), "%.*s/%s", AP_FMT(api->cp->settings.state_dir), name);
	ap_buf_init(&text, 256);
	rc = ap_file_read(path, &text, NULL);
	token = ap_slice_trim(ap_buf_slice(&text));
	while (token.len > 0 && (token.ptr[token.len - 1] == '\n' || token.ptr[token.len - 1] == '\r'))
		token.len--;
	if (rc == 0 && token.len >= 16 && token.len < 64) {
		snprintf(out, 64, "%.*s", AP_FMT(token));
		ap_buf_done(&text);
		return 0;
	}
	if (rc != -ENOENT && rc != 0) {
		ap_buf_done(&text);
		return ap_error_set(err, rc, "could not read the token in %s", path);
	}
	ap_buf_clear(&text);
	ap_rand_bytes(bytes, sizeof(bytes));
	ap_b64url_encode(ap_slice((const char *)bytes, sizeof(bytes)), &text);
	snprintf(out, 64, "%.*s", (int)text.len, text.ptr);
	ap_buf_add_char(&text, '\n');
	rc = ap_file_write(path, ap_buf_slice(&text), 0600, err);
	ap_buf_done(&text);
	return rc;
}

int
api_auth_open(struct cp_api *api, struct ap_error *err)
{
	int rc = token_file(api, "admin.token", api->admin_token, err);

	return rc != 0 ? rc : token_file(api, "viewer.token", api->viewer_token, err);
}

static bool
token_is(struct ap_slice given, const char *token)
{
	size_t len = strlen(token);

	return len > 0 && given.len == len && CRYPTO_memcmp(given.ptr, token, len) == 0;
}

static void
by_certificate(struct api_request *r, struct ap_slice spiffe)
{
	struct ap_slice td, ns, account, root = r->cp->settings.root_namespace;

	if (!ap_spiffe_parse(spiffe, &td, &ns, &account) || !ap_slice_eq(td, r->cp->settings.trust_domain))
		return;
	r->user = ap_arena_copy(r->arena, spiffe);
	if (!ap_slice_eq(ns, root) && !ap_slice_eq(ns, AP_S("ambit-system")))
		return;
	if (ap_slice_eq(account, AP_S("admin")))
		r->role = API_ADMIN;
	else if (ap_slice_eq(account, AP_S("viewer")))
		r->role = API_VIEWER;
}

void
api_authenticate(struct api_request *r, const struct api_connection *conn)
{
	struct ap_slice header = ap_fields_get(&r->x->request.fields, AP_S("authorization")), spiffe;

	r->user = AP_S("system:anonymous");
	if (conn->local) {
		r->role = API_ADMIN;
		r->user = AP_S("system:local");
		return;
	}
	if (header.len > 7 && ap_slice_eq_nocase(ap_slice_sub(header, 0, 7), AP_S("Bearer "))) {
		struct ap_slice token = ap_slice_trim(ap_slice_from(header, 7));

		if (token_is(token, r->api->admin_token)) {
			r->role = API_ADMIN;
			r->user = AP_S("system:admin");
		} else if (token_is(token, r->api->viewer_token)) {
			r->role = API_VIEWER;
			r->user = AP_S("system:viewer");
		}
		return;
	}
	spiffe = conn->transport != NULL ? ap_tls_peer_spiffe(conn->transport) : AP_SLICE_NONE;
	if (spiffe.len > 0)
		by_certificate(r, spiffe);
}

bool
api_authorize(struct api_request *r)
{
	static const char *const open_paths[] = { "/version", "/healthz", "/livez", "/readyz", NULL };
	bool reads = ap_slice_eq(r->method, AP_S("GET")) || ap_slice_eq(r->method, AP_S("HEAD"));

	for (const char *const *p = open_paths; *p != NULL; p++)
		if (reads && ap_slice_eq_text(r->path, *p))
			return true;
	if (r->role == API_ADMIN || (r->role == API_VIEWER && reads))
		return true;
	if (r->role == API_NOBODY && ap_slice_eq(r->user, AP_S("system:anonymous")))
		api_fail(r, 401, "Unauthorized", "Unauthorized");
	else
		api_fail(r, 403, "Forbidden", "User \"%.*s\" cannot %.*s %.*s", AP_FMT(r->user), AP_FMT(r->method),
		    AP_FMT(r->path));
	return false;
}

/* -- kubeconfig -- */

/* Where people reach the API: the first name that stands in its certificate. */
static void
server_url(struct cp_api *api, char *out, size_t size)
{
	struct ap_addr at = ap_listener_addr(api->tls_listener);
	const struct cp_settings *s = &api->cp->settings;
	struct ap_slice name = s->name_count > 0 ? s->names[0] : AP_S("127.0.0.1");
	bool v6 = ap_slice_find(name, ':') != SIZE_MAX;

	snprintf(out, size, "https://%s%.*s%s:%u", v6 ? "[" : "", AP_FMT(name), v6 ? "]" : "", (unsigned)ap_addr_port(&at));
}

int
cp_api_write_kubeconfig(struct cp_api *api, struct ap_slice roots_pem, struct ap_error *err)
{
	char path[4096], url[400];
	struct ap_buf out;
	int rc;

	if (api->tls_listener == NULL)
		return 0;
	server_url(api, url, sizeof(url));
	ap_buf_init(&out, (size_t)1024 * 1024);
	ap_buf_printf(&out,
	    "apiVersion: v1\nkind: Config\nclusters:\n- name: ambit\n  cluster:\n    server: %s\n"
	    "    certificate-authority-data: ",
	    url);
	ap_b64_encode(roots_pem, &out);
	ap_buf_printf(&out,
	    "\nusers:\n- name: admin\n  user:\n    token: %s\n"
	    "contexts:\n- name: ambit\n  context: {cluster: ambit, user: admin}\ncurrent-context: ambit\n",
	    api->admin_token);
	snprintf(path, sizeof(path), "%.*s/kubeconfig", AP_FMT(api->cp->settings.state_dir));
	rc = ap_file_write(path, ap_buf_slice(&out), 0600, err);
	ap_wipe(out.ptr, out.len);
	ap_buf_done(&out);
	return rc;
}
