/* client.c -- requests to the API and to admin sockets, by libcurl. */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "codec/json.h"

#define TOKEN_MAX ((size_t)16384)
#define TIMEOUT_S 30L
#define LINE_CEILING ((size_t)16 * 1024 * 1024)

const char *
ap_cli_run_dir(void)
{
	const char *given = getenv(AP_ENV_RUN_DIR);

	return given != NULL && *given != '\0' ? given : AP_RUNSTATEDIR "/ambit";
}

void
ap_cli_target_init(struct ap_cli_target *t)
{
	memset(t, 0, sizeof(*t));
	snprintf(t->socket, sizeof(t->socket), "%s/api.sock", ap_cli_run_dir());
}

int
ap_cli_target_option(struct ap_cli_target *t, int argc, char **argv, int *i)
{
	struct {
		const char *name;
		char *into;
		size_t size;
	} options[] = { { "--server", t->server, sizeof(t->server) }, { "--token-file", t->token_file, sizeof(t->token_file) },
		{ "--ca-file", t->ca_file, sizeof(t->ca_file) } };

	for (size_t k = 0; k < AP_COUNTOF(options); k++) {
		if (strcmp(argv[*i], options[k].name) != 0)
			continue;
		if (*i + 1 >= argc) {
			fprintf(stderr, "ambit: %s needs a value behind it.\n", argv[*i]);
			return -1;
		}
		snprintf(options[k].into, options[k].size, "%s", argv[++*i]);
		if (t->server[0] != '\0')
			t->socket[0] = '\0';
		return 1;
	}
	return 0;
}

static size_t
on_bytes(char *bytes, size_t one, size_t count, void *arg)
{
	ap_buf_add(arg, bytes, one * count);
	return one * count;
}

/* "Authorization: Bearer ..." from the token file. The text is wiped by the caller. */
static int
read_token(const struct ap_cli_target *t, struct ap_buf *out, struct ap_error *err)
{
	ap_buf_add_text(out, "Authorization: Bearer ");
	if (ap_file_read(t->token_file, out, err) != 0)
		return err->code;
	while (out->len > 0 && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r'))
		out->ptr[--out->len] = '\0';
	return 0;
}

static int
set_up(CURL *curl, const struct ap_cli_target *t, const char *path, struct curl_slist **headers, struct ap_error *err)
{
	char url[2048], text[300];
	struct ap_buf token;

	snprintf(url, sizeof(url), "%s%s", t->socket[0] != '\0' ? "http://localhost" : t->server, path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
	if (t->socket[0] != '\0')
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, t->socket);
	if (t->ca_file[0] != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, t->ca_file);
	snprintf(text, sizeof(text), "User-Agent: ambit/%s", PACKAGE_VERSION);
	*headers = curl_slist_append(*headers, text);
	*headers = curl_slist_append(*headers, "Expect:");
	if (t->token_file[0] == '\0')
		return 0;
	ap_buf_init(&token, TOKEN_MAX);
	if (read_token(t, &token, err) == 0)
		*headers = curl_slist_append(*headers, token.ptr);
	ap_wipe(token.ptr, token.len);
	ap_buf_done(&token);
	return err->code;
}

static void
add_header(struct curl_slist **headers, const char *name, const char *value)
{
	char text[300];

	if (value == NULL)
		return;
	snprintf(text, sizeof(text), "%s: %s", name, value);
	*headers = curl_slist_append(*headers, text);
}

static int
complain(const struct ap_cli_target *t, CURLcode code, struct ap_error *err)
{
	if (t->socket[0] != '\0' && (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST))
		return ap_error_set(err, -ECONNREFUSED,
		    "nobody answers on %s; is the control plane running here, and are you root? (--server asks another host)",
		    t->socket);
	return ap_error_set(err, -EIO, "%s: %s.", t->socket[0] != '\0' ? t->socket : t->server, curl_easy_strerror(code));
}

int
ap_cli_request(const struct ap_cli_target *t, const char *method, const char *path, const char *accept, const char *type,
    struct ap_slice body, int *out_status, struct ap_buf *out, struct ap_error *err)
{
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode code;
	int rc;

	add_header(&headers, "Accept", accept == NULL ? "application/json" : accept);
	add_header(&headers, "Content-Type", type);
	rc = set_up(curl, t, path, &headers, err);
	if (rc == 0) {
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
		if (type != NULL) {
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.ptr);
			curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
		}
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		*out_status = (int)status;
		if (code != CURLE_OK)
			rc = complain(t, code, err);
		else if (out->bad)
			rc = ap_error_set(err, -EFBIG, "the answer is larger than %zu bytes.", out->ceiling);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

struct lines {
	struct ap_buf rest;
	bool (*fn)(struct ap_slice line, void *arg);
	void *arg;
	bool stopped;
};

static size_t
on_stream(char *bytes, size_t one, size_t count, void *arg)
{
	struct lines *l = arg;
	struct ap_slice rest;
	size_t at;

	ap_buf_add(&l->rest, bytes, one * count);
	rest = ap_buf_slice(&l->rest);
	while (!l->stopped && (at = ap_slice_find(rest, '\n')) != SIZE_MAX) {
		l->stopped = !l->fn(ap_slice_sub(rest, 0, at), l->arg);
		rest = ap_slice_from(rest, at + 1);
	}
	ap_buf_consume(&l->rest, l->rest.len - rest.len);
	return l->stopped || l->rest.bad ? 0 : one * count;
}

int
ap_cli_stream(const struct ap_cli_target *t, const char *path, const char *accept,
    bool (*fn)(struct ap_slice line, void *arg), void *arg, int *out_status, struct ap_error *err)
{
	struct lines lines = { .fn = fn, .arg = arg };
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode code;
	int rc;

	ap_buf_init(&lines.rest, LINE_CEILING);
	add_header(&headers, "Accept", accept == NULL ? "application/json" : accept);
	rc = set_up(curl, t, path, &headers, err);
	if (rc == 0) {
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_stream);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &lines);
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		*out_status = (int)status;
		if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && lines.stopped))
			rc = complain(t, code, err);
	}
	ap_buf_done(&lines.rest);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

int
ap_cli_refused(int status, struct ap_slice body, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new((size_t)4 * 1024 * 1024);
	struct ap_error unread = { 0 };
	struct ap_slice message = AP_SLICE_NONE;
	struct ap_doc *doc = NULL;

	if (ap_json_parse(arena, "answer", body, &doc, &unread) == 0)
		message = ap_doc_string(doc, "message", "");
	if (message.len == 0)
		message = ap_slice_sub(ap_slice_trim(body), 0, 200);
	if (message.len == 0)
		ap_error_set(err, -EIO, "the API answered with status %d.", status);
	else
		ap_error_set(err, status == 404 ? -ENOENT : -EIO, "%.*s", AP_FMT(message));
	ap_arena_free(&arena);
	return err->code;
}

struct ap_doc *
ap_cli_get(const struct ap_cli_target *t, struct ap_arena *arena, const char *path, struct ap_error *err)
{
	struct ap_doc *doc = NULL;
	struct ap_buf body;
	int status = 0;

	ap_buf_init(&body, (size_t)512 * 1024 * 1024);
	if (ap_cli_request(t, "GET", path, NULL, NULL, AP_SLICE_NONE, &status, &body, err) != 0)
		doc = NULL;
	else if (status != 200)
		ap_cli_refused(status, ap_buf_slice(&body), err);
	else if (ap_json_parse(arena, "answer", ap_arena_copy(arena, ap_buf_slice(&body)), &doc, err) != 0)
		doc = NULL;
	ap_buf_done(&body);
	return doc;
}

int
ap_cli_admin_get(const char *socket, const char *path, int *out_status, struct ap_buf *out, struct ap_error *err)
{
	struct ap_cli_target t = { .socket = "" };

	snprintf(t.socket, sizeof(t.socket), "%s", socket);
	return ap_cli_request(&t, "GET", path, "*/*", NULL, AP_SLICE_NONE, out_status, out, err);
}
