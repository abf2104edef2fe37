/*
 * productpage.c -- the page that puts details and reviews together, asking both at once; a login cookie becomes the header
 * end-user, by which routes can tell users apart.  Reviews are asked twice before the page gives up, as the original does.
 */
#include <ctype.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bookinfo.h"

#define CALL_TIMEOUT_MS 3000
#define REVIEW_TRIES 2
#define USER_MAX 32

struct page {
	struct demo *demo;
	struct evhttp_request *req;
	char *details, *reviews; /* JSON, or NULL */
	int details_status, reviews_status;
	int waiting, review_tries;
	bool json_only; /* /api/v1/products/ID/reviews and the like: pass through what `reviews` holds */
	char id[32];
};

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

/* Text of "key":value in flat JSON into out, without quotes. */
static const char *
json_text(const char *json, const char *key, char *out, size_t size)
{
	char needle[64];
	const char *at;
	size_t n = 0;

	snprintf(needle, sizeof(needle), "\"%s\":", key);
	at = json == NULL ? NULL : strstr(json, needle);
	out[0] = '\0';
	if (at == NULL)
		return NULL;
	at += strlen(needle);
	while (*at == ' ')
		at++;
	if (*at == '"') {
		for (at++; *at != '\0' && *at != '"' && n + 1 < size; at++)
			out[n++] = *at;
	} else {
		for (; *at != '\0' && *at != ',' && *at != '}' && n + 1 < size; at++)
			out[n++] = *at;
	}
	out[n] = '\0';
	return out;
}

static void
add_escaped(struct evbuffer *out, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '<':
			evbuffer_add_printf(out, "&lt;");
			break;
		case '>':
			evbuffer_add_printf(out, "&gt;");
			break;
		case '&':
			evbuffer_add_printf(out, "&amp;");
			break;
		case '"':
			evbuffer_add_printf(out, "&quot;");
			break;
		default:
			evbuffer_add(out, text, 1);
		}
	}
}

/* The name in the cookie session=NAME, letters and digits only; empty when nobody is logged in. */
static void
session_user(struct evhttp_request *req, char out[USER_MAX])
{
	const char *cookie = evhttp_find_header(evhttp_request_get_input_headers(req), "Cookie");
	const char *at = cookie == NULL ? NULL : strstr(cookie, "session=");
	size_t n = 0;

	for (at = at == NULL ? "" : at + 8; n + 1 < USER_MAX && (isalnum((unsigned char)*at) || *at == '-' || *at == '_'); at++)
		out[n++] = *at;
	out[n] = '\0';
}

static void
add_details(struct evbuffer *out, const struct page *p)
{
	static const char *const rows[] = { "author", "year", "type", "pages", "publisher", "language", "ISBN-10", "ISBN-13" };
	char value[128];

	evbuffer_add_printf(out, "<section><h2>Book Details</h2>");
	if (p->details_status != 200) {
		evbuffer_add_printf(out, "<p class=\"error\">Error fetching product details!</p>"
					 "<p>Sorry, product details are currently unavailable for this book.</p></section>");
		return;
	}
	evbuffer_add_printf(out, "<dl>");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (json_text(p->details, rows[i], value, sizeof(value)) == NULL)
			continue;
		evbuffer_add_printf(out, "<dt>%s</dt><dd>", rows[i]);
		add_escaped(out, value);
		evbuffer_add_printf(out, "</dd>");
	}
	evbuffer_add_printf(out, "</dl></section>");
}

static void
add_stars(struct evbuffer *out, const char *review)
{
	char color[16], stars[8], error[80];

	if (json_text(review, "error", error, sizeof(error)) != NULL) {
		evbuffer_add_printf(out, "<p class=\"error\">%s</p>", error);
		return;
	}
	if (json_text(review, "stars", stars, sizeof(stars)) == NULL)
		return;
	json_text(review, "color", color, sizeof(color));
	evbuffer_add_printf(out, "<p class=\"stars %s\" data-stars=\"%s\">", strcmp(color, "red") == 0 ? "red" : "black", stars);
	for (long i = strtol(stars, NULL, 10); i > 0 && i < 6; i--)
		evbuffer_add_printf(out, "&#9733;");
	evbuffer_add_printf(out, "</p>");
}

static void
add_reviews(struct evbuffer *out, const struct page *p)
{
	const char *at;
	char text[400];

	evbuffer_add_printf(out, "<section><h2>Book Reviews</h2>");
	if (p->reviews_status != 200) {
		evbuffer_add_printf(out, "<p class=\"error\">Error fetching product reviews!</p>"
					 "<p>Sorry, product reviews are currently unavailable for this book.</p></section>");
		return;
	}
	for (at = strstr(p->reviews, "{\"reviewer\""); at != NULL;) {
		const char *next = strstr(at + 1, "{\"reviewer\"");
		size_t len = next == NULL ? strlen(at) : (size_t)(next - at);
		char *review = calloc(1, len + 1);

		memcpy(review, at, len);
		evbuffer_add_printf(out, "<blockquote><p>");
		if (json_text(review, "text", text, sizeof(text)) != NULL)
			add_escaped(out, text);
		evbuffer_add_printf(out, "</p>");
		add_stars(out, review);
		evbuffer_add_printf(out, "<footer>");
		if (json_text(review, "reviewer", text, sizeof(text)) != NULL)
			add_escaped(out, text);
		evbuffer_add_printf(out, "</footer></blockquote>");
		free(review);
		at = next;
	}
	if (json_text(p->reviews, "podname", text, sizeof(text)) != NULL) {
		evbuffer_add_printf(out, "<p class=\"served\">Reviews served by: ");
		add_escaped(out, text);
		evbuffer_add_printf(out, "</p>");
	}
	evbuffer_add_printf(out, "</section>");
}

static void
send_page(struct page *p)
{
	struct evbuffer *out = evbuffer_new();
	char user[USER_MAX];

	session_user(p->req, user);
	evbuffer_add_printf(out,
	    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Simple Bookstore App</title><style>"
	    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222}"
	    "header{display:flex;justify-content:space-between}section{margin:2rem 0}dl{display:grid;grid-template-columns:8rem 1fr}"
	    ".error{color:#b00020;font-weight:600}.red{color:#d32f2f}.stars{font-size:1.4rem;margin:0}.served{color:#777}"
	    "</style></head><body><header><strong>BookInfo Sample</strong><span>%s%s</span></header>"
	    "<h1>The Comedy of Errors</h1><p>Two pairs of twins, one city, and everybody mistaken for somebody else.</p>",
	    *user == '\0' ? "Not signed in" : "Signed in as ", user);
	add_details(out, p);
	add_reviews(out, p);
	evbuffer_add_printf(out, "</body></html>\n");
	evhttp_add_header(evhttp_request_get_output_headers(p->req), "Content-Type", "text/html; charset=utf-8");
	evhttp_send_reply(p->req, 200, NULL, out);
	evbuffer_free(out);
}

static void
send_json(struct page *p)
{
	demo_json(p->req, p->reviews_status == 0 ? 503 : p->reviews_status,
	    p->reviews != NULL && p->reviews_status != 0 ? p->reviews : "{\"error\":\"the service did not answer\"}");
}

static void
finish_one(struct page *p)
{
	if (--p->waiting > 0)
		return;
	if (p->json_only)
		send_json(p);
	else
		send_page(p);
	free(p->details);
	free(p->reviews);
	free(p);
}

static void
on_details(int status, const char *body, void *arg)
{
	struct page *p = arg;

	p->details_status = status;
	p->details = copy_text(body);
	finish_one(p);
}

static void ask_reviews(struct page *p);

static void
on_reviews(int status, const char *body, void *arg)
{
	struct page *p = arg;

	if (status != 200 && ++p->review_tries < REVIEW_TRIES) {
		ask_reviews(p);
		return;
	}
	p->reviews_status = status;
	p->reviews = copy_text(body);
	finish_one(p);
}

static void
ask_reviews(struct page *p)
{
	char path[64];

	snprintf(path, sizeof(path), "/reviews/%s", p->id);
	demo_get(p->demo, demo_env("REVIEWS_HOSTNAME", "reviews"), atoi(demo_env("REVIEWS_SERVICE_PORT", "9080")), path, p->req,
	    CALL_TIMEOUT_MS, on_reviews, p);
}

static void
on_passed_through(int status, const char *body, void *arg)
{
	struct page *p = arg;

	p->reviews_status = status;
	p->reviews = copy_text(body);
	finish_one(p);
}

/* Only the login cookie says who the end user is. */
static void
name_end_user(struct evhttp_request *req)
{
	struct evkeyvalq *in = evhttp_request_get_input_headers(req);
	char user[USER_MAX];

	while (evhttp_remove_header(in, "end-user") == 0)
		;
	session_user(req, user);
	if (*user != '\0')
		evhttp_add_header(in, "end-user", user);
}

static struct page *
new_page(struct demo *d, struct evhttp_request *req, const char *id)
{
	struct page *p = calloc(1, sizeof(*p));

	p->demo = d;
	p->req = req;
	snprintf(p->id, sizeof(p->id), "%s", id);
	name_end_user(req);
	return p;
}

static void
on_productpage(struct evhttp_request *req, void *arg)
{
	struct page *p = new_page(arg, req, "0");

	p->waiting = 2;
	demo_get(p->demo, demo_env("DETAILS_HOSTNAME", "details"), atoi(demo_env("DETAILS_SERVICE_PORT", "9080")), "/details/0", req,
	    CALL_TIMEOUT_MS, on_details, p);
	ask_reviews(p);
}

static void
on_product_api(struct evhttp_request *req, void *arg)
{
	static const struct {
		const char *tail, *service, *host_env, *port_env;
	} parts[] = {
		{ "/reviews", "reviews", "REVIEWS_HOSTNAME", "REVIEWS_SERVICE_PORT" },
		{ "/ratings", "ratings", "RATINGS_HOSTNAME", "RATINGS_SERVICE_PORT" },
		{ "", "details", "DETAILS_HOSTNAME", "DETAILS_SERVICE_PORT" },
	};
	static const char prefix[] = "/api/v1/products/";
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	char ask[96];
	char *tail;
	long id;

	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
		demo_json(req, 404, "{\"error\":\"not found\"}");
		return;
	}
	id = strtol(path + sizeof(prefix) - 1, &tail, 10);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct page *p;

		if (strcmp(tail, parts[i].tail) != 0)
			continue;
		p = new_page(arg, req, "0");
		p->json_only = true;
		p->waiting = 1;
		snprintf(ask, sizeof(ask), "/%s/%ld", parts[i].service, id);
		demo_get(p->demo, demo_env(parts[i].host_env, parts[i].service), atoi(demo_env(parts[i].port_env, "9080")), ask, req,
		    CALL_TIMEOUT_MS, on_passed_through, p);
		return;
	}
	demo_json(req, 404, "{\"error\":\"not found\"}");
}

static void
on_products(struct evhttp_request *req, void *arg)
{
	(void)arg;
	demo_json(req, 200,
	    "[{\"id\":0,\"title\":\"The Comedy of Errors\",\"descriptionHtml\":\"Two pairs of twins, one city, and everybody "
	    "mistaken for somebody else.\"}]");
}

static void
on_health(struct evhttp_request *req, void *arg)
{
	struct evbuffer *out = evbuffer_new();

	(void)arg;
	evbuffer_add_printf(out, "Product page is healthy");
	evhttp_send_reply(req, 200, NULL, out);
	evbuffer_free(out);
}

static void
redirect_home(struct evhttp_request *req, const char *cookie)
{
	evhttp_add_header(evhttp_request_get_output_headers(req), "Set-Cookie", cookie);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Location", "/productpage");
	evhttp_send_reply(req, 302, NULL, NULL);
}

static void
on_login(struct evhttp_request *req, void *arg)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	char form[256] = "", cookie[128], user[USER_MAX] = "";
	const char *at;
	size_t n = 0;

	(void)arg;
	evbuffer_copyout(in, form, sizeof(form) - 1);
	at = strstr(form, "username=");
	if (at == NULL)
		at = strstr(evhttp_request_get_uri(req), "username=");
	for (at = at == NULL ? "" : at + 9; n + 1 < USER_MAX && isalnum((unsigned char)*at); at++)
		user[n++] = *at;
	snprintf(cookie, sizeof(cookie), "session=%s; Path=/; HttpOnly", user);
	redirect_home(req, cookie);
}

static void
on_logout(struct evhttp_request *req, void *arg)
{
	(void)arg;
	redirect_home(req, "session=; Path=/; Max-Age=0");
}

void
demo_productpage(struct demo *d)
{
	evhttp_set_cb(d->http, "/", on_productpage, d);
	evhttp_set_cb(d->http, "/productpage", on_productpage, d);
	evhttp_set_cb(d->http, "/api/v1/products", on_products, d);
	evhttp_set_cb(d->http, "/health", on_health, d);
	evhttp_set_cb(d->http, "/login", on_login, d);
	evhttp_set_cb(d->http, "/logout", on_logout, d);
	evhttp_set_gencb(d->http, on_product_api, d);
}
