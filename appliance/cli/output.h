/* output.h -- answers for people and scripts: aligned columns, JSON, YAML. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H
#include <stdbool.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/slice.h"
#include "base/vec.h"
#include "codec/doc.h"

enum ap_cli_format { AP_CLI_TABLE, AP_CLI_WIDE, AP_CLI_JSON, AP_CLI_YAML, AP_CLI_NAME };

#define AP_CLI_COLUMNS_MAX 24

/* Cells are collected and printed when their widths are known. Texts live in the arena. */
struct ap_cli_table {
	struct ap_arena *arena;
	unsigned columns;
	AP_VEC(struct ap_slice) cells; /* row by row, the head first */
};

/* 0, or -1 when the word is none of table, wide, json, yaml, name. */
int ap_cli_format_parse(const char *word, enum ap_cli_format *out);
/* JSON or YAML to standard output. */
void ap_cli_print_doc(const struct ap_doc *doc, enum ap_cli_format format);

/* heads end with NULL. */
void ap_cli_table_init(struct ap_cli_table *t, struct ap_arena *arena, const char *const *heads);
void ap_cli_table_add(struct ap_cli_table *t, struct ap_slice cell); /* copied; empty is shown as "-" */
void ap_cli_table_print(struct ap_cli_table *t);                     /* and free */
/* Kubernetes' Table object: its columns (priority 0, or all when wide), with a NAMESPACE column when asked for. */
void ap_cli_print_table(struct ap_arena *arena, const struct ap_doc *table, bool wide, bool namespaces, bool heads);

#endif
