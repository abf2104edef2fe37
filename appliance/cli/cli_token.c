/* cli_token.c -- "ambit token": join tokens. The secret is printed once, alone on standard output, and kept nowhere. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "codec/json.h"

#define TOKENS "/apis/ambit.mesh/v1alpha1/jointokens"
#define IDENTITIES_MAX 64

struct request {
	struct ap_cli_target target;
	const char *host, *ttl, *uses, *name;
	const char *identities[IDENTITIES_MAX];
	unsigned identity_count;
	enum ap_cli_format format;
};

static void
add_text(struct ap_buf *b, const char *text)
{
	ap_buf_add_json(b, ap_slice_of(text));
}

static void
write_body(const struct request *r, struct ap_buf *b)
{
	ap_buf_add_text(b, "{\"apiVersion\":\"ambit.mesh/v1alpha1\",\"kind\":\"JoinToken\",\"metadata\":{\"generateName\":\"token-\"},"
			   "\"spec\":{\"identities\":[");
	for (unsigned i = 0; i < r->identity_count; i++) {
		ap_buf_add_text(b, i == 0 ? "" : ",");
		add_text(b, r->identities[i]);
	}
	ap_buf_add_text(b, "]");
	if (r->host != NULL) {
		ap_buf_add_text(b, ",\"host\":");
		add_text(b, r->host);
	}
	ap_buf_add_text(b, ",\"ttl\":");
	add_text(b, r->ttl);
	ap_buf_printf(b, ",\"uses\":%s}}", r->uses);
}

static int
create(const struct request *r)
{
	struct ap_arena *arena = ap_arena_new((size_t)4 * 1024 * 1024);
	struct ap_buf body, answer;
	struct ap_doc *doc = NULL;
	struct ap_error err = { 0 };
	int status = 0, rc = 0;

	ap_buf_init(&body, 65536);
	ap_buf_init(&answer, (size_t)1 << 20);
	write_body(r, &body);
	if (ap_cli_request(&r->target, "POST", TOKENS, NULL, "application/json", ap_buf_slice(&body), &status, &answer, &err) != 0) {
		rc = ap_cli_fail(&ap_command_token, "%s", err.text);
	} else if (status / 100 != 2) {
		ap_cli_refused(status, ap_buf_slice(&answer), &err);
		rc = ap_cli_fail(&ap_command_token, "%s", err.text) - 1;
	} else if (ap_json_parse(arena, "answer", ap_buf_slice(&answer), &doc, &err) != 0) {
		rc = ap_cli_fail(&ap_command_token, "the answer cannot be read: %s", err.text);
	} else if (r->format == AP_CLI_JSON || r->format == AP_CLI_YAML) {
		ap_cli_print_doc(doc, r->format);
	} else {
		printf("%.*s\n", AP_FMT(ap_doc_string(ap_doc_get(doc, "status"), "token", "")));
	}
	ap_wipe(answer.ptr, answer.len);
	ap_buf_done(&answer);
	ap_buf_done(&body);
	ap_arena_free(&arena);
	return rc;
}

static struct ap_slice
join_identities(struct ap_arena *arena, const struct ap_doc *list)
{
	struct ap_slice all = AP_SLICE_NONE;

	AP_DOC_FOR(item, list)
		all = ap_arena_printf(arena, "%.*s%s%.*s", AP_FMT(all), all.len == 0 ? "" : ",", AP_FMT(item->string));
	return all;
}

static int
list(const struct request *r)
{
	static const char *const heads[] = { "NAME", "HOST", "IDENTITIES", "USES", "EXPIRES", NULL };
	struct ap_arena *arena = ap_arena_new((size_t)256 * 1024 * 1024);
	struct ap_error err = { 0 };
	struct ap_cli_table t;
	struct ap_doc *doc = ap_cli_get(&r->target, arena, TOKENS, &err);

	if (doc == NULL) {
		ap_arena_free(&arena);
		return ap_cli_fail(&ap_command_token, "%s", err.text);
	}
	if (r->format == AP_CLI_JSON || r->format == AP_CLI_YAML) {
		ap_cli_print_doc(doc, r->format);
		ap_arena_free(&arena);
		return 0;
	}
	ap_cli_table_init(&t, arena, heads);
	AP_DOC_FOR(item, ap_doc_get(doc, "items")) {
		const struct ap_doc *spec = ap_doc_get(item, "spec"), *status = ap_doc_get(item, "status");

		ap_cli_table_add(&t, ap_doc_string(ap_doc_get(item, "metadata"), "name", ""));
		ap_cli_table_add(&t, ap_doc_string(spec, "host", ""));
		ap_cli_table_add(&t, join_identities(arena, ap_doc_get(spec, "identities")));
		ap_cli_table_add(&t, ap_arena_printf(arena, "%lld of %lld", (long long)ap_doc_int(status, "uses", 0),
					 (long long)ap_doc_int(spec, "uses", 1)));
		ap_cli_table_add(&t, ap_doc_string(status, "expiresAt", ""));
	}
	ap_cli_table_print(&t);
	ap_arena_free(&arena);
	return 0;
}

static int
revoke(const struct request *r)
{
	struct ap_error err = { 0 };
	struct ap_buf answer;
	char path[400];
	int status = 0, rc = 0;

	if (r->name == NULL)
		return ap_cli_fail(&ap_command_token, "name the token to revoke; 'ambit token list' shows them.");
	snprintf(path, sizeof(path), TOKENS "/%s", r->name);
	ap_buf_init(&answer, (size_t)1 << 20);
	if (ap_cli_request(&r->target, "DELETE", path, NULL, NULL, AP_SLICE_NONE, &status, &answer, &err) != 0) {
		rc = ap_cli_fail(&ap_command_token, "%s", err.text);
	} else if (status / 100 != 2) {
		ap_cli_refused(status, ap_buf_slice(&answer), &err);
		rc = ap_cli_fail(&ap_command_token, "%s", err.text) - 1;
	} else {
		printf("token %s revoked\n", r->name);
	}
	ap_buf_done(&answer);
	return rc;
}

static int
take_option(struct request *r, int argc, char **argv, int *i)
{
	struct {
		const char *name;
		const char **into;
	} options[] = { { "--host", &r->host }, { "--ttl", &r->ttl }, { "--uses", &r->uses } };
	const char *word = argv[*i];
	int taken = ap_cli_target_option(&r->target, argc, argv, i);

	if (taken != 0)
		return taken < 0 ? -1 : 0;
	if (*i + 1 < argc) {
		for (size_t k = 0; k < AP_COUNTOF(options); k++) {
			if (strcmp(word, options[k].name) == 0) {
				*options[k].into = argv[++*i];
				return 0;
			}
		}
		if (strcmp(word, "--identity") == 0 && r->identity_count < IDENTITIES_MAX) {
			r->identities[r->identity_count++] = argv[++*i];
			return 0;
		}
		if (strcmp(word, "-o") == 0 && ap_cli_format_parse(argv[*i + 1], &r->format) == 0) {
			++*i;
			return 0;
		}
	}
	if (word[0] != '-' && r->name == NULL) {
		r->name = word;
		return 0;
	}
	ap_cli_fail(&ap_command_token, "'%s' is not understood, or lacks its value; see 'ambit token --help'.", word);
	return -1;
}

static int
run_token(int argc, char **argv)
{
	struct request r = { .ttl = "1h", .uses = "1" };
	const char *what = argc > 1 ? argv[1] : "";

	ap_cli_target_init(&r.target);
	for (int i = 2; i < argc; i++) {
		if (take_option(&r, argc, argv, &i) != 0)
			return 2;
	}
	if (strspn(r.uses, "0123456789") != strlen(r.uses) || strlen(r.uses) > 6)
		return ap_cli_fail(&ap_command_token, "--uses is '%s'; give a number.", r.uses);
	if (strcmp(what, "list") == 0)
		return list(&r);
	if (strcmp(what, "revoke") == 0)
		return revoke(&r);
	if (strcmp(what, "create") != 0)
		return ap_cli_fail(&ap_command_token, "'%s' is not understood; say create, list or revoke.", what);
	if (r.identity_count == 0)
		return ap_cli_fail(&ap_command_token, "name what the host may be: --identity NAMESPACE/SERVICEACCOUNT, one or more.");
	return create(&r);
}

static const char *const words[] = { "create", "list", "revoke", "--host", "--identity", "--uses", "--ttl", "-o", "json", NULL };

const struct ap_command ap_command_token = {
	.name = "token",
	.group = "Mesh",
	.usage = "create --identity NS/SA... [--host NAME] [--uses N] [--ttl 1h] | list | revoke NAME",
	.summary = "Make, list and revoke the tokens by which hosts join",
	.help = "  create             print a new token; it is shown this once\n"
		"    --identity NS/SA   an identity that the host may ask for; repeat it for each program\n"
		"    --host NAME        only a host of this name may use it\n"
		"    --uses N           how often it may be used (1)\n"
		"    --ttl DURATION     how long it may be used (1h)\n"
		"  list [-o json]     all tokens, without their secrets\n"
		"  revoke NAME        end one\n" AP_CLI_TARGET_HELP
		"\nExit codes: 0; 1 refused; 2 the API could not be asked.\n",
	.words = words,
	.run = run_token,
};
