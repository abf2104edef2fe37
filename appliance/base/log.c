/*
 * log.c -- lines for people and machines, one write(2) each.
 *
 * A module lists itself at its first use, under the lock, and takes the level that was set for its name, so levels
 * can be set before a role is loaded.  A line is built on the stack and cut at LINE_MAX_SIZE; control characters are
 * escaped, since much of what is logged was sent by strangers.  Modules are static variables of their .c: a shared
 * object whose module was used must stay loaded.  Any thread.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define LINE_MAX_SIZE 4096
#define CONTEXT_DEPTH_MAX 8
#define OVERRIDES_MAX 128
#define NAME_MAX_LEN 40

struct override {
	char name[NAME_MAX_LEN + 1];
	int level;
};

static const char *const level_names[] = { "error", "warn", "info", "debug", "trace" };
static const char *const level_marks[] = { "ERROR", "WARN ", "INFO ", "DEBUG", "TRACE" };
static const int level_priorities[] = { 3, 4, 6, 7, 7 }; /* syslog's */

static _Atomic int process_level = AP_LOG_INFO;
static _Atomic int line_format = AP_LOG_TEXT;
static _Atomic int line_fd = STDERR_FILENO;
static atomic_bool to_journal;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* modules and overrides */
static struct ap_log_module *modules;
static struct override overrides[OVERRIDES_MAX];
static size_t override_count;

/* systemd tells which device and inode the journal reads; then priorities are wanted and times are known. */
static bool
is_journal(int fd)
{
	const char *text = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return text != NULL && sscanf(text, "%ju:%ju", &dev, &ino) == 2 && fstat(fd, &st) == 0 &&
	       (uintmax_t)st.st_dev == dev && (uintmax_t)st.st_ino == ino;
}

void
ap_log_setup(enum ap_log_level level, enum ap_log_format format, int fd)
{
	atomic_store(&process_level, (int)level);
	atomic_store(&line_format, (int)format);
	atomic_store(&line_fd, fd);
	atomic_store(&to_journal, is_journal(fd));
}

static int
level_of(struct ap_slice name)
{
	for (size_t i = 0; i < AP_COUNTOF(level_names); i++)
		if (ap_slice_eq_nocase(name, ap_slice_of(level_names[i])))
			return (int)i;
	return -1;
}

static bool
is_module_name(struct ap_slice name)
{
	if (name.len == 0 || name.len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return true;
}

struct levels {
	int process; /* -1: not named */
	struct override items[OVERRIDES_MAX];
	size_t count;
};

static int
parse_levels(struct ap_slice spec, struct levels *out, struct ap_error *err)
{
	while (spec.ptr != NULL) {
		struct ap_slice rest = ap_slice_trim(ap_slice_cut(&spec, ','));
		struct ap_slice part = rest, name = ap_slice_cut(&rest, ':');
		int level = level_of(rest.ptr == NULL ? name : rest);

		if (level < 0 || (rest.ptr != NULL && !is_module_name(name)))
			return ap_error_set(err, -EINVAL,
			    "\"%.*s\" is not a log level; write error, warn, info, debug or trace, or <module>:<level>",
			    AP_FMT(part));
		if (rest.ptr == NULL) {
			out->process = level;
			continue;
		}
		if (out->count == OVERRIDES_MAX)
			return ap_error_set(err, -EINVAL, "more than %d log modules are named", OVERRIDES_MAX);
		snprintf(out->items[out->count].name, sizeof(out->items[0].name), "%.*s", AP_FMT(name));
		out->items[out->count++].level = level;
	}
	return 0;
}

/* Under the lock. */
static int
find_override(const char *name)
{
	for (size_t i = override_count; i > 0; i--)
		if (strcmp(overrides[i - 1].name, name) == 0)
			return overrides[i - 1].level;
	return -1;
}

static void
set_override(const struct override *o)
{
	for (size_t i = 0; i < override_count; i++) {
		if (strcmp(overrides[i].name, o->name) == 0) {
			overrides[i].level = o->level;
			return;
		}
	}
	if (override_count < OVERRIDES_MAX)
		overrides[override_count++] = *o;
}

int
ap_log_set_levels(struct ap_slice spec, struct ap_error *err)
{
	struct levels *levels = ap_new(struct levels);
	int r;

	levels->process = -1;
	r = parse_levels(spec.ptr == NULL ? AP_S("") : spec, levels, err);
	if (r == 0) {
		pthread_mutex_lock(&lock);
		if (levels->process >= 0) {
			atomic_store(&process_level, levels->process);
			override_count = 0;
		}
		for (size_t i = 0; i < levels->count; i++)
			set_override(&levels->items[i]);
		for (struct ap_log_module *m = modules; m != NULL; m = m->next)
			atomic_store(&m->level, find_override(m->name));
		pthread_mutex_unlock(&lock);
	}
	ap_free(&levels);
	return r;
}

static void
list_module(struct ap_log_module *m)
{
	pthread_mutex_lock(&lock);
	if (!atomic_load(&m->listed)) {
		m->next = modules;
		modules = m;
		atomic_store(&m->level, find_override(m->name));
		atomic_store(&m->listed, true);
	}
	pthread_mutex_unlock(&lock);
}

bool
ap_log_is_on(struct ap_log_module *m, enum ap_log_level level)
{
	int wanted;

	if (AP_UNLIKELY(!atomic_load_explicit(&m->listed, memory_order_acquire)))
		list_module(m);
	wanted = atomic_load_explicit(&m->level, memory_order_relaxed);
	if (wanted < 0)
		wanted = atomic_load_explicit(&process_level, memory_order_relaxed);
	return (int)level <= wanted;
}

/* Appends what fits; control characters as \xNN, invalid UTF-8 as '?'. */
static size_t
put_text(char *out, size_t at, size_t size, const char *text)
{
	struct ap_slice s = ap_slice_of(text);

	for (size_t i = 0; i < s.len;) {
		unsigned char c = (unsigned char)s.ptr[i];
		size_t n = ap_text_utf8_next(ap_slice_from(s, i));

		if (size - at < 5)
			break;
		if (n == 0) {
			out[at++] = '?';
			n = 1;
		} else if (c < 0x20 || c == 0x7f) {
			at += (size_t)snprintf(out + at, size - at, c == '\t' ? "\t" : "\\x%02x", c);
		} else {
			memcpy(out + at, s.ptr + i, n);
			at += n;
		}
		i += n;
	}
	return at;
}

/* "ztunnel: in 10.0.0.7:443: " */
static void
format_context(const struct ap_logctx *ctx, char *out, size_t size)
{
	const struct ap_logctx *chain[CONTEXT_DEPTH_MAX];
	size_t n = 0, at = 0;

	for (; ctx != NULL && n < CONTEXT_DEPTH_MAX; ctx = ctx->parent)
		if (ctx->name[0] != '\0')
			chain[n++] = ctx;
	out[0] = '\0';
	while (n-- > 0 && at < size)
		at += (size_t)snprintf(out + at, size - at, "%s: ", chain[n]->name);
}

static size_t
format_text(
    char *line, size_t size, struct ap_log_module *m, enum ap_log_level level, const char *context, const char *message)
{
	char time[40];
	size_t at;

	if (atomic_load_explicit(&to_journal, memory_order_relaxed))
		at = (size_t)snprintf(line, size, "<%d>%s ", level_priorities[level], m->name);
	else
		at = (size_t)snprintf(line, size, "%s %s %s ",
		    ap_clock_format(ap_clock_wall_us(), 3, time, sizeof(time)), level_marks[level], m->name);
	at = put_text(line, at, size - 1, context);
	at = put_text(line, at, size - 1, message);
	line[at++] = '\n';
	return at;
}

static void
write_json(int fd, struct ap_log_module *m, enum ap_log_level level, const char *context, const char *message)
{
	struct ap_slice ctx = ap_slice_of(context);
	struct ap_buf line;
	char time[40];

	ap_buf_init(&line, 8 * LINE_MAX_SIZE);
	ap_buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"scope\":\"%s\",",
	    ap_clock_format(ap_clock_wall_us(), 6, time, sizeof(time)), level_names[level], m->name);
	if (ctx.len > 2) {
		ap_buf_add_text(&line, "\"context\":");
		ap_buf_add_json(&line, ap_slice_sub(ctx, 0, ctx.len - 2)); /* without ": " */
		ap_buf_add_char(&line, ',');
	}
	ap_buf_add_text(&line, "\"message\":");
	ap_buf_add_json(&line, ap_slice_of(message));
	ap_buf_add_text(&line, "}\n");
	if (write(fd, line.ptr, line.len) < 0)
		errno = 0; /* nowhere to say so */
	ap_buf_done(&line);
}

void
ap_log_write(struct ap_log_module *m, enum ap_log_level level, const struct ap_logctx *ctx, const char *fmt, ...)
{
	int fd = atomic_load_explicit(&line_fd, memory_order_relaxed);
	char context[512], message[LINE_MAX_SIZE - 1024], line[LINE_MAX_SIZE];
	int saved = errno;
	va_list ap;

	format_context(ctx, context, sizeof(context));
	errno = saved; /* for %m */
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (atomic_load_explicit(&line_format, memory_order_relaxed) == AP_LOG_JSON) {
		write_json(fd, m, level, context, message);
	} else {
		size_t size = format_text(line, sizeof(line), m, level, context, message);

		if (write(fd, line, size) < 0)
			errno = 0; /* nowhere to say so */
	}
	errno = saved;
}

/* Racing threads may let one line too many through; that is fine. */
bool
ap_log_limit_passes(struct ap_log_limit *l, unsigned per_second, unsigned *out_dropped)
{
	uint64_t now = ap_clock_mono_ns() / 1000000000U + 1; /* 0: never used */

	if (atomic_load(&l->second) != now) {
		atomic_store(&l->second, now);
		atomic_store(&l->count, 0);
	}
	if (atomic_fetch_add(&l->count, 1) < per_second) {
		*out_dropped = atomic_exchange(&l->dropped, 0);
		return true;
	}
	atomic_fetch_add(&l->dropped, 1);
	return false;
}
