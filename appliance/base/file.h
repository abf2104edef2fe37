/* file.h -- whole files: read with a bound, write atomically, make and walk folders. */
#ifndef BASE_FILE_H
#define BASE_FILE_H
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"

AP_PUBLIC_BEGIN
/* Append the file's bytes to out; a file that passes out's ceiling is -EFBIG. Blocks. */
int ap_file_read(const char *path, struct ap_buf *out, struct ap_error *err);
/* Write beside the target, fsync, rename: a reader sees the old or the new file whole. */
int ap_file_write(const char *path, struct ap_slice bytes, mode_t mode, struct ap_error *err);
/* mkdir -p; existing folders keep their mode. */
int ap_dir_make(const char *path, mode_t mode, struct ap_error *err);
/* Remove a folder and all below it; never follows links. A missing one is fine. */
int ap_dir_remove(const char *path, struct ap_error *err);
AP_PUBLIC_END

#endif
