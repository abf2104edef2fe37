/*
 * client.h -- how commands ask the resource API: over the Unix socket of this host, or over TLS with a token.  Blocking; libcurl
 * underneath.  One target per command; options are taken off the command line by ap_cli_target_option.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "codec/doc.h"

struct ap_cli_target {
	char socket[256]; /* "": by server */
	char server[512]; /* "https://host:6443" */
	char token_file[512], ca_file[512];
};

/* For help texts: the options below. */
#define AP_CLI_TARGET_HELP \
	"  --server URL       the API over TLS, https://HOST:6443; without it the Unix socket of this host's control plane\n" \
	"  --token-file FILE  bearer token for --server\n" \
	"  --ca-file FILE     root that the server's certificate chains to\n"

AP_PUBLIC_BEGIN
void ap_cli_target_init(struct ap_cli_target *t);
/* If argv[*i] is one of the target's options, take it and its value (moving *i) and return 1; 0: not mine; -1: no value (told). */
int ap_cli_target_option(struct ap_cli_target *t, int argc, char **argv, int *i);
/* 0 with *out_status and the body appended to out; negative when nobody answered. accept, type may be NULL. */
int ap_cli_request(const struct ap_cli_target *t, const char *method, const char *path, const char *accept, const char *type,
    struct ap_slice body, int *out_status, struct ap_buf *out, struct ap_error *err);
/* GET; fn is called for each line until it returns false or the stream ends. */
int ap_cli_stream(const struct ap_cli_target *t, const char *path, const char *accept,
    bool (*fn)(struct ap_slice line, void *arg), void *arg, int *out_status, struct ap_error *err);
/* GET and parse; a Status answer with an error becomes its message. NULL with err. */
struct ap_doc *ap_cli_get(const struct ap_cli_target *t, struct ap_arena *arena, const char *path, struct ap_error *err);
/* Text of a Status object ("message"), or the answer as it is, into err; returns err->code (negative). */
int ap_cli_refused(int status, struct ap_slice body, struct ap_error *err);
/* Any GET on a process' admin socket. */
int ap_cli_admin_get(const char *socket, const char *path, int *out_status, struct ap_buf *out, struct ap_error *err);
/* $AMBIT_RUN_DIR or the installed one. */
const char *ap_cli_run_dir(void);
AP_PUBLIC_END

#endif
