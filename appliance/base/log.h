/*
 * log.h -- levels that mean actions: ERROR someone must act, WARN someone should look, INFO a change of state,
 * DEBUG the rest.  One module per .c (AP_LOG_MODULE), whose level can be set at run time; a prefix from the object.
 * Any thread.  Lines are text, JSON or journal; writing never blocks the data path for longer than one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

enum ap_log_level { AP_LOG_ERROR, AP_LOG_WARN, AP_LOG_INFO, AP_LOG_DEBUG, AP_LOG_TRACE };
enum ap_log_format { AP_LOG_TEXT, AP_LOG_JSON };

struct ap_log_module {
	const char *name;
	_Atomic int level; /* -1: follow the process' level */
	struct ap_log_module *next;
	_Atomic bool listed;
};

/* An object's place in its family: "ztunnel: in 10.0.0.7:443" composes itself from the parents. May be NULL. */
struct ap_logctx {
	const struct ap_logctx *parent;
	char name[64];
};

struct ap_log_limit {
	_Atomic uint64_t second;
	_Atomic unsigned count, dropped;
};

#define AP_LOG_MODULE(name_) static struct ap_log_module ap_log_this = { .name = #name_, .level = -1 }

AP_PUBLIC_BEGIN
void ap_log_setup(enum ap_log_level level, enum ap_log_format format, int fd);
/* "info", "debug,zt_inbound:trace". A bare level is the whole state: levels of modules that are not named with it end;
 * "zt_inbound:trace" alone adds to what is set. Modules need not exist yet. -EINVAL names the bad part in err and changes nothing. */
int ap_log_set_levels(struct ap_slice spec, struct ap_error *err);
bool ap_log_is_on(struct ap_log_module *m, enum ap_log_level level);
void ap_log_write(struct ap_log_module *m, enum ap_log_level level, const struct ap_logctx *ctx, const char *fmt, ...)
    AP_PRINTF(4, 5);
bool ap_log_limit_passes(struct ap_log_limit *l, unsigned per_second, unsigned *out_dropped);
AP_PUBLIC_END

#define AP_LOG_(level_, ctx_, ...) \
	do { \
		if (ap_log_is_on(&ap_log_this, (level_))) \
			ap_log_write(&ap_log_this, (level_), (ctx_), __VA_ARGS__); \
	} while (0)
#define LOG_ERROR(ctx_, ...) AP_LOG_(AP_LOG_ERROR, ctx_, __VA_ARGS__)
#define LOG_WARN(ctx_, ...) AP_LOG_(AP_LOG_WARN, ctx_, __VA_ARGS__)
#define LOG_INFO(ctx_, ...) AP_LOG_(AP_LOG_INFO, ctx_, __VA_ARGS__)
#define LOG_DEBUG(ctx_, ...) AP_LOG_(AP_LOG_DEBUG, ctx_, __VA_ARGS__)
/* At most per_second_ lines a second from this place; says how many were left out. */
#define LOG_WARN_LIMIT(ctx_, per_second_, fmt_, ...) \
	do { \
		static struct ap_log_limit ap_limit_; \
		unsigned ap_dropped_ = 0; \
		if (ap_log_is_on(&ap_log_this, AP_LOG_WARN) && \
		    ap_log_limit_passes(&ap_limit_, (per_second_), &ap_dropped_)) \
			ap_log_write(&ap_log_this, AP_LOG_WARN, (ctx_), fmt_ " (%u like it left out)", \
			    ##__VA_ARGS__, ap_dropped_); \
	} while (0)

#endif
