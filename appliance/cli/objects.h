/* objects.h -- what get, apply, delete and watch share: kinds as people type them, paths of the API, documents from files. */
#ifndef CLI_OBJECTS_H
#define CLI_OBJECTS_H
#include <stdbool.h>

#include "base/compiler.h"
#include "base/vec.h"
#include "codec/doc.h"
#include "codec/yaml.h"
#include "model/kind.h"

struct ap_command;

/* NULL and told on standard error when nobody reads that kind (with the nearest word). */
const struct ap_kind *ap_cli_kind(const struct ap_command *c, const char *word);
/* "/apis/group/version/namespaces/NS/plural/NAME"; namespace_ and name may be NULL. Returns out. */
const char *ap_cli_path(const struct ap_kind *k, const char *namespace_, const char *name, char *out, size_t size);

struct ap_cli_docs {
	struct ap_doc **items;
	size_t count, room;
};
/*
 * Every object of a file, of a folder's *.yaml, *.yml and *.json, or of standard input ("-"); items of a List each.  Problems are
 * told on standard error with their place; returns their number.  Documents and places live in the arena.
 */
unsigned ap_cli_read_objects(struct ap_arena *arena, const char *path, struct ap_cli_docs *out);

#endif
