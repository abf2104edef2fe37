/* policy_dump.c -- a compiled policy's rules as JSON, in the words of Istio's config_dump. Any thread. */
#include "base/buf.h"
#include "mesh/policy_priv.h"

/* Opens a field; the value and a comma follow. */
static void
key(struct ap_buf *out, const char *name)
{
	ap_buf_printf(out, "\"%s\":", name);
}

static void
close_with(struct ap_buf *out, char bracket)
{
	if (out->len > 0 && out->ptr[out->len - 1] == ',')
		out->ptr[--out->len] = '\0';
	ap_buf_add_char(out, bracket);
	ap_buf_add_char(out, ',');
}

static void
put_texts(struct ap_buf *out, const char *name, const struct texts *t)
{
	static const char *const kinds[] = { "Exact", "Prefix", "Suffix", "Presence" };
	size_t i;

	if (t->count == 0)
		return;
	key(out, name);
	ap_buf_add_char(out, '[');
	for (i = 0; i < t->count; i++) {
		ap_buf_printf(out, "{\"%s\":", kinds[t->items[i].kind]);
		ap_buf_add_json(out, t->items[i].text);
		ap_buf_add_text(out, "},");
	}
	close_with(out, ']');
}

static void
put_cidrs(struct ap_buf *out, const char *name, const struct cidrs *c)
{
	char text[AP_ADDR_TEXT];
	size_t i;

	if (c->count == 0)
		return;
	key(out, name);
	ap_buf_add_char(out, '[');
	for (i = 0; i < c->count; i++)
		ap_buf_printf(out, "\"%s\",", ap_cidr_format(&c->items[i], text, sizeof(text)));
	close_with(out, ']');
}

static void
put_ports(struct ap_buf *out, const char *name, const struct ports *p)
{
	size_t i;

	if (p->count == 0)
		return;
	key(out, name);
	ap_buf_add_char(out, '[');
	for (i = 0; i < p->count; i++)
		ap_buf_printf(out, "%u,", p->items[i]);
	close_with(out, ']');
}

static void
put_accounts(struct ap_buf *out, const char *name, const struct accounts *a)
{
	size_t i;

	if (a->count == 0)
		return;
	key(out, name);
	ap_buf_add_char(out, '[');
	for (i = 0; i < a->count; i++) {
		ap_buf_add_text(out, "{\"namespace\":");
		ap_buf_add_json(out, a->items[i].namespace_);
		ap_buf_add_text(out, ",\"serviceAccount\":");
		ap_buf_add_json(out, a->items[i].account);
		ap_buf_add_text(out, "},");
	}
	close_with(out, ']');
}

static void
put_match(struct ap_buf *out, const struct match *m)
{
	ap_buf_add_char(out, '{');
	put_texts(out, "namespaces", &m->namespaces);
	put_texts(out, "notNamespaces", &m->not_namespaces);
	put_texts(out, "principals", &m->principals);
	put_texts(out, "notPrincipals", &m->not_principals);
	put_accounts(out, "serviceAccounts", &m->accounts);
	put_accounts(out, "notServiceAccounts", &m->not_accounts);
	put_cidrs(out, "sourceIps", &m->source_ips);
	put_cidrs(out, "notSourceIps", &m->not_source_ips);
	put_cidrs(out, "destinationIps", &m->destination_ips);
	put_cidrs(out, "notDestinationIps", &m->not_destination_ips);
	put_ports(out, "destinationPorts", &m->ports);
	put_ports(out, "notDestinationPorts", &m->not_ports);
	close_with(out, '}');
}

void
ap_authz_policy_rules_json(const struct ap_authz_policy *p, struct ap_buf *out)
{
	size_t g, r, i;

	ap_buf_add_char(out, '[');
	for (g = 0; g < p->group_count; g++) {
		ap_buf_add_char(out, '[');
		for (r = 0; r < p->groups[g].count; r++) {
			ap_buf_add_char(out, '[');
			for (i = 0; i < p->groups[g].items[r].count; i++)
				put_match(out, &p->groups[g].items[r].items[i]);
			close_with(out, ']');
		}
		close_with(out, ']');
	}
	close_with(out, ']');
}
