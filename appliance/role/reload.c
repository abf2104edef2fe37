/*
 * reload.c -- a new configuration in two steps.  The file is read and checked whole; every role prepares, which may fail and
 * shows nothing; then all commit or all abort.  Whatever fails, the last good configuration goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/yaml.h"
#include "role/host_priv.h"

AP_LOG_MODULE(reload);

#define CONFIG_MAX ((size_t)8 * 1024 * 1024)

static void
print_errors(const char *path, const struct ap_errors *errs)
{
	char line[640];

	for (size_t i = 0; i < errs->count; i++)
		fprintf(stderr, "%s\n", ap_error_format(&errs->items[i], line, sizeof(line)));
	if (errs->total > errs->count)
		fprintf(stderr, "%s: %zu more problems are not shown.\n", path, errs->total - errs->count);
}

int
ap_host_peek_roles(const char *path, struct ap_arena *arena, const char **out_names, uint32_t max, struct ap_error *err)
{
	struct ap_yaml_docs docs = { 0 };
	const struct ap_doc *roles = NULL;
	struct ap_buf text;
	uint32_t n = 0;
	int rc;

	ap_buf_init(&text, CONFIG_MAX);
	rc = ap_file_read(path, &text, err);
	if (rc == 0 && (rc = ap_yaml_parse(arena, path, ap_buf_slice(&text), &docs, err)) != 0) {
		struct ap_error placed = *err;

		ap_error_format(&placed, err->text, sizeof(err->text));
	}
	ap_buf_done(&text);
	if (rc == 0 && docs.count > 0)
		roles = ap_doc_path(docs.items[0], "spec.roles");
	AP_DOC_FOR(role, roles) {
		if (n == max)
			return ap_error_set(err, -E2BIG, "spec.roles of %s names more than %u roles.", path, max);
		if (ap_doc_is(role, AP_DOC_STRING))
			out_names[n++] = role->string.ptr;
	}
	return rc;
}

struct ap_config *
ap_host_load_config(struct ap_host *host)
{
	struct ap_appliance_section sections[AP_ROLES_MAX + 1] = { { NULL, NULL } };
	struct ap_errors errs = { 0 };
	struct ap_config *config;
	uint32_t n = 0;

	for (uint32_t i = 0; i < host->role_count; i++) {
		const struct ap_role *role = host->loaded[i].role;

		if (role->section != NULL)
			sections[n++] = (struct ap_appliance_section){ role->section, role->schema };
	}
	config = ap_config_load(host->options.config_path, sections, &errs);
	print_errors(host->options.config_path, &errs);
	ap_errors_done(&errs);
	return config;
}

/* True when every role prepared; else the sentence is logged and those that had prepared were aborted. */
static bool
prepare_all(struct ap_host *host, struct ap_config *next, void **plans)
{
	struct ap_error err = { 0 };

	for (uint32_t i = 0; i < host->role_count; i++) {
		struct ap_loaded *l = &host->loaded[i];

		if (l->role->prepare == NULL || l->role->prepare(l->self, next, &plans[i], &err) == 0)
			continue;
		LOG_ERROR(&l->log, "the new configuration is refused, the old one stays: %s", err.text);
		while (i-- > 0) {
			if (host->loaded[i].role->abort != NULL)
				host->loaded[i].role->abort(host->loaded[i].self, plans[i]);
		}
		return false;
	}
	return true;
}

void
ap_host_reload(struct ap_host *host)
{
	void *plans[AP_ROLES_MAX] = { NULL };
	struct ap_config *next;

	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(ap_clock_mono_ns() / 1000));
	next = ap_host_load_config(host);
	if (next == NULL) {
		LOG_ERROR(NULL, "%s is refused and the old configuration stays; the problems were printed.",
		    host->options.config_path);
	} else if (prepare_all(host, next, plans)) {
		for (uint32_t i = 0; i < host->role_count; i++) {
			if (host->loaded[i].role->commit != NULL)
				host->loaded[i].role->commit(host->loaded[i].self, plans[i]);
		}
		ap_config_unref(&host->config);
		host->config = next;
		LOG_INFO(NULL, "%s was read anew and is in force.", host->options.config_path);
	} else {
		ap_config_unref(&next);
	}
	sd_notify(0, "READY=1");
}
