/*
 * access_log.h -- one line per connection or request, to a file or a descriptor, without making the data path wait.
 *
 * Workers append whole lines to a buffer under a short lock; a thread of its own writes it out.  When the writer falls
 * behind by more than the buffer holds, lines are dropped and counted (ambit_access_log_dropped_lines).
 */
#ifndef MESH_ACCESS_LOG_H
#define MESH_ACCESS_LOG_H
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

struct ap_access_log;

#define AP_ACCESS_LOG_BUFFER ((size_t)4 << 20)

AP_PUBLIC_BEGIN
/* path: a file (appended to, made with 0640), or "-": standard output. Main thread. */
struct ap_access_log *ap_access_log_open(const char *path, struct ap_error *err);
/* Append a line with its line break. False: dropped. Any thread; NULL log: false. */
bool ap_access_log_write(struct ap_access_log *log, struct ap_slice line);
/* Open the file anew (it was rotated); the old one stays when that fails. Any thread. */
void ap_access_log_reopen(struct ap_access_log *log);
uint64_t ap_access_log_dropped(const struct ap_access_log *log);
/* Writes out what is left; nobody may write any more. NULL is fine. */
void ap_access_log_close(struct ap_access_log **log);
AP_PUBLIC_END

#endif
