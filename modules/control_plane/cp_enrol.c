/*
 * cp_enrol.c -- join tokens, hosts and what identity each may have.
 *
 * A token that names its host may enrol that host anew (a machine that was lost); one that is for any host may not take
 * over a host that another token made.  Refusals are logged here with their reason and told to the caller without it.
 */
#include "control_plane/cp_enrol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control_plane/cp.h"
#include "http/exchange.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/x509.h"

AP_LOG_MODULE(cp_enrol);

#define ANNOTATION_TOKEN "ambit.mesh/token"

static const struct ap_resource *
host_object(struct cp *cp, const char *name)
{
	return ap_resources_get(cp_resources(cp), "ambit.mesh", "Host", AP_SLICE_NONE, ap_slice_of(name));
}

static const struct ap_resource *
token_object(struct cp *cp, const struct cp_caller *c, struct ap_error *err)
{
	return cp_token_find(cp, ap_slice_of(c->token), err);
}

/* --- Who calls --------------------------------------------------------------------------------------------------------- */

/* Of "spiffe://<td>/ns/ambit-system/sa/host.<name>" the name, or empty. */
static struct ap_slice
host_of(const struct cp *cp, struct ap_slice spiffe)
{
	struct ap_slice td, ns, sa;
	if (!ap_spiffe_parse(spiffe, &td, &ns, &sa) || !ap_slice_eq(td, cp->settings.trust_domain) ||
	    !ap_slice_eq_text(ns, CP_SYSTEM_NAMESPACE) || !ap_slice_starts(sa, AP_S(CP_HOST_PREFIX)))
		return AP_SLICE_NONE;
	return ap_slice_from(sa, sizeof(CP_HOST_PREFIX) - 1);
}

static enum ap_grpc_status
by_certificate(struct cp *cp, struct ap_slice spiffe, struct cp_caller *out, struct ap_error *err)
{
	struct ap_slice td, ns, sa;
	if (!ap_spiffe_parse(spiffe, &td, &ns, &sa) || !ap_slice_eq(td, cp->settings.trust_domain)) {
		ap_error_set(err, -EACCES, "the client certificate is of another mesh");
		return AP_GRPC_UNAUTHENTICATED;
	}
	struct ap_slice host = host_of(cp, spiffe);
	out->kind = host.len > 0 ? CP_CALLER_HOST : CP_CALLER_WORKLOAD;
	out->spiffe = ap_strndup(spiffe.ptr, spiffe.len);
	if (host.len > 0)
		out->host = ap_strndup(host.ptr, host.len);
	return cp_caller_check(cp, out, err);
}

static enum ap_grpc_status
by_token(struct cp *cp, struct ap_slice header, struct cp_caller *out, struct ap_error *err)
{
	struct ap_slice scheme = ap_slice_sub(header, 0, 7);
	if (!ap_slice_eq_nocase(scheme, AP_S("bearer "))) {
		ap_error_set(err, -EACCES, "a join token or a client certificate is needed");
		return AP_GRPC_UNAUTHENTICATED;
	}
	struct ap_slice text = ap_slice_trim(ap_slice_from(header, 7));
	out->kind = CP_CALLER_TOKEN;
	out->token = ap_strndup(text.ptr, text.len);
	const struct ap_resource *token = token_object(cp, out, err);
	if (token == NULL)
		return AP_GRPC_UNAUTHENTICATED;
	struct ap_slice host = ap_doc_string(token->spec, "host", "*");
	out->host = ap_strndup(host.ptr, host.len);
	return AP_GRPC_OK;
}

enum ap_grpc_status
cp_caller_of(struct cp *cp, struct ap_exchange *x, struct cp_caller *out, struct ap_error *err)
{
	*out = (struct cp_caller){ 0 };
	struct ap_stream *transport = x->conn == NULL ? NULL : ap_http_transport(x->conn);
	struct ap_slice spiffe = AP_SLICE_NONE;
	if (transport != NULL && ap_stream_is_tls(transport) && ap_tls_peer_der(transport).len > 0)
		spiffe = ap_tls_peer_spiffe(transport);
	struct ap_slice header = ap_fields_get(&x->request.fields, AP_S("authorization"));
	enum ap_grpc_status status;
	if (spiffe.len > 0) {
		status = by_certificate(cp, spiffe, out, err);
		/* A host whose object was deleted comes back with a token. */
		if (status != AP_GRPC_OK && header.len > 0) {
			cp_caller_done(out);
			status = by_token(cp, header, out, err);
		}
	} else {
		status = by_token(cp, header, out, err);
	}
	if (status == AP_GRPC_OK)
		return status;
	char peer[AP_ADDR_TEXT] = "?";
	struct ap_stream *tcp = transport == NULL ? NULL : ap_stream_bottom(transport);
	if (tcp != NULL)
		ap_addr_format(ap_tcp_peer(tcp), peer, sizeof(peer));
	LOG_WARN_LIMIT(NULL, 5, "refused a caller from %s: %s", peer, err->text);
	cp_caller_done(out);
	return status;
}

void
cp_caller_done(struct cp_caller *c)
{
	if (c->token != NULL)
		ap_wipe(c->token, strlen(c->token));
	ap_free(&c->token);
	ap_free(&c->spiffe);
	ap_free(&c->host);
}

enum ap_grpc_status
cp_caller_check(struct cp *cp, const struct cp_caller *c, struct ap_error *err)
{
	switch (c->kind) {
	case CP_CALLER_TOKEN:
		return token_object(cp, c, err) == NULL ? AP_GRPC_UNAUTHENTICATED : AP_GRPC_OK;
	case CP_CALLER_HOST: {
		const struct ap_resource *host = host_object(cp, c->host);
		if (host == NULL) {
			ap_error_set(err, -EACCES, "host %s is not known any more; it must join again", c->host);
			return AP_GRPC_UNAUTHENTICATED;
		}
		if (ap_doc_bool(host->spec, "revoked", false)) {
			ap_error_set(err, -EACCES, "host %s was revoked", c->host);
			return AP_GRPC_PERMISSION_DENIED;
		}
		return AP_GRPC_OK;
	}
	case CP_CALLER_WORKLOAD:
		return AP_GRPC_OK;
	}
	return AP_GRPC_UNAUTHENTICATED;
}

/* --- What they may have -------------------------------------------------------------------------------------------------- */

bool
cp_identity_matches(struct ap_slice pattern, struct ap_slice namespace_, struct ap_slice account)
{
	if (ap_slice_eq_text(pattern, "*"))
		return true;
	struct ap_slice rest = pattern;
	struct ap_slice ns = ap_slice_cut(&rest, '/');
	return rest.ptr != NULL && (ap_slice_eq_text(ns, "*") || ap_slice_eq(ns, namespace_)) &&
	       (ap_slice_eq_text(rest, "*") || ap_slice_eq(rest, account));
}

static bool
list_has(const struct ap_doc *identities, struct ap_slice namespace_, struct ap_slice account)
{
	/* No list, however wide, makes anybody a host or the control plane. */
	if (ap_slice_eq_text(namespace_, CP_SYSTEM_NAMESPACE) &&
	    (ap_slice_starts(account, AP_S(CP_HOST_PREFIX)) || ap_slice_eq_text(account, "control-plane")))
		return false;
	AP_DOC_FOR(d, identities)
		if (d->type == AP_DOC_STRING && cp_identity_matches(d->string, namespace_, account))
			return true;
	return false;
}

bool
cp_host_may_run(struct cp *cp, struct ap_slice host, struct ap_slice namespace_, struct ap_slice account)
{
	const struct ap_resource *h = ap_resources_get(cp_resources(cp), "ambit.mesh", "Host", AP_SLICE_NONE, host);
	return h != NULL && !ap_doc_bool(h->spec, "revoked", false) &&
	       list_has(ap_doc_get(h->spec, "identities"), namespace_, account);
}

static enum ap_grpc_status
token_may_have(struct cp *cp, const struct cp_caller *c, struct ap_slice spiffe, struct ap_slice ns, struct ap_slice sa,
    struct ap_error *err)
{
	const struct ap_resource *token = token_object(cp, c, err);
	if (token == NULL)
		return AP_GRPC_UNAUTHENTICATED;
	struct ap_slice host = host_of(cp, spiffe);
	if (host.len == 0) {
		if (list_has(ap_doc_get(token->spec, "identities"), ns, sa))
			return AP_GRPC_OK;
		ap_error_set(err, -EACCES, "the token is not for %.*s/%.*s", AP_FMT(ns), AP_FMT(sa));
		return AP_GRPC_PERMISSION_DENIED;
	}
	bool for_any = strcmp(c->host, "*") == 0;
	if (!for_any && !ap_slice_eq_text(host, c->host)) {
		ap_error_set(err, -EACCES, "the token is for another host than %.*s", AP_FMT(host));
		return AP_GRPC_PERMISSION_DENIED;
	}
	const struct ap_resource *known =
	    ap_resources_get(cp_resources(cp), "ambit.mesh", "Host", AP_SLICE_NONE, host);
	if (known != NULL && ap_doc_bool(known->spec, "revoked", false)) {
		ap_error_set(err, -EACCES, "host %.*s was revoked", AP_FMT(host));
		return AP_GRPC_PERMISSION_DENIED;
	}
	if (known != NULL && for_any && !ap_slice_eq(ap_resource_annotation(known, ANNOTATION_TOKEN), token->name)) {
		ap_error_set(err, -EACCES, "host %.*s exists already; to join it again it takes a token that names it", AP_FMT(host));
		return AP_GRPC_PERMISSION_DENIED;
	}
	return AP_GRPC_OK;
}

enum ap_grpc_status
cp_may_have(struct cp *cp, const struct cp_caller *c, struct ap_slice spiffe, struct ap_error *err)
{
	struct ap_slice td, ns, sa;
	if (!ap_spiffe_parse(spiffe, &td, &ns, &sa) || !ap_slice_eq(td, cp->settings.trust_domain)) {
		ap_error_set(err, -EINVAL, "%.*s is no identity of this mesh", AP_FMT(spiffe));
		return AP_GRPC_INVALID_ARGUMENT;
	}
	enum ap_grpc_status status = cp_caller_check(cp, c, err);
	if (status != AP_GRPC_OK)
		return status;
	if (c->kind == CP_CALLER_TOKEN)
		return token_may_have(cp, c, spiffe, ns, sa, err);
	if (c->kind == CP_CALLER_HOST &&
	    (ap_slice_eq_text(spiffe, c->spiffe) || cp_host_may_run(cp, ap_slice_of(c->host), ns, sa)))
		return AP_GRPC_OK;
	/* A workload's own certificate renews nothing: it outlives the host's revocation. */
	ap_error_set(err, -EACCES, "%s may not have %.*s", c->spiffe, AP_FMT(spiffe));
	return AP_GRPC_PERMISSION_DENIED;
}

/* --- What it leaves behind -------------------------------------------------------------------------------------------------- */

static int
count_use(struct cp *cp, const struct ap_resource *token, struct ap_slice host, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new(64 * 1024);
	struct ap_doc *status =
	    token->status == NULL ? ap_doc_new_map(arena) : ap_doc_copy(arena, token->status);
	char now[40];
	ap_doc_set(arena, status, "uses", ap_doc_new_int(arena, ap_doc_int(token->status, "uses", 0) + 1));
	ap_doc_set_string(arena, status, "lastUsed",
	    ap_slice_of(ap_clock_format(ap_clock_wall_us(), 0, now, sizeof(now))));
	if (host.len > 0)
		ap_doc_set_string(arena, status, "lastHost", host);
	int r = cp_set_status(cp, token->key, status, err);
	ap_arena_free(&arena);
	return r;
}

static int
make_host(struct cp *cp, const struct ap_resource *token, struct ap_slice name, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new((size_t)1024 * 1024);
	struct ap_doc *host = ap_doc_new_map(arena), *meta = ap_doc_new_map(arena), *notes = ap_doc_new_map(arena);
	const struct ap_resource *known =
	    ap_resources_get(cp_resources(cp), "ambit.mesh", "Host", AP_SLICE_NONE, name);
	struct ap_doc *spec = known != NULL && known->spec != NULL ? ap_doc_copy(arena, known->spec) : ap_doc_new_map(arena);
	ap_doc_set_string(arena, host, "apiVersion", AP_S("ambit.mesh/v1alpha1"));
	ap_doc_set_string(arena, host, "kind", AP_S("Host"));
	ap_doc_set_string(arena, meta, "name", name);
	ap_doc_set_string(arena, notes, ANNOTATION_TOKEN, token->name);
	ap_doc_set(arena, meta, "annotations", notes);
	ap_doc_set(arena, host, "metadata", meta);
	const struct ap_doc *identities = ap_doc_get(token->spec, "identities");
	ap_doc_set(arena, spec, "identities",
	    identities == NULL ? ap_doc_new_list(arena) : ap_doc_copy(arena, identities));
	ap_doc_set(arena, host, "spec", spec);
	struct ap_errors errs = { 0 };
	int r = cp_apply(cp, &host, 1, CP_APPLY_TRUSTED | CP_APPLY_MERGE, &errs);
	if (r != 0)
		ap_error_set(err, r, "host %.*s cannot be recorded: %s", AP_FMT(name), errs.count > 0 ? errs.items[0].text : "?");
	ap_errors_done(&errs);
	ap_arena_free(&arena);
	return r;
}

enum ap_grpc_status
cp_count_issue(struct cp *cp, const struct cp_caller *c, struct ap_slice spiffe, struct ap_error *err)
{
	if (c->kind != CP_CALLER_TOKEN)
		return AP_GRPC_OK;
	struct ap_resource *token = cp_token_find(cp, ap_slice_of(c->token), err);
	if (token == NULL)
		return AP_GRPC_UNAUTHENTICATED;
	/* What follows changes the set of resources; the token's object is needed to the end. */
	token = ap_resource_ref(token);
	struct ap_slice host = host_of(cp, spiffe);
	int r = host.len > 0 ? make_host(cp, token, host, err) : 0;
	if (r == 0)
		r = count_use(cp, token, host, err);
	if (r == 0 && host.len > 0)
		LOG_INFO(NULL, "host %.*s joined with token %.*s", AP_FMT(host), AP_FMT(token->name));
	ap_resource_unref(&token);
	return r == 0 ? AP_GRPC_OK : AP_GRPC_INTERNAL;
}
