/*
 * schema.h -- one row per field: name, type, bounds, default, words for people.  The checker, the defaults, the manual and the
 * UI's captions come from these rows; there is no second list.
 */
#ifndef MODEL_SCHEMA_H
#define MODEL_SCHEMA_H
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "codec/doc.h"

enum ap_type {
	AP_T_STRING,
	AP_T_INT,
	AP_T_REAL,     /* integers too */
	AP_T_BOOL,
	AP_T_DURATION, /* "250ms", "1h30m" */
	AP_T_OBJECT,   /* `of` */
	AP_T_LIST,     /* of `item`, or of objects `of` when item is AP_T_OBJECT */
	AP_T_MAP,      /* string keys; values as a list's items */
	AP_T_INT_OR_STRING,
	AP_T_ANY,      /* not looked into */
};

#define AP_F_REQUIRED 1U
#define AP_F_SECRET 2U      /* never shown in dumps and diffs */
#define AP_F_REPORTED 4U    /* read and kept, not honoured: the object's status says so */
#define AP_F_REFUSED 8U     /* not honoured, and ignoring it would weaken security: the object is refused */
#define AP_F_NON_EMPTY 16U
#define AP_F_UNIQUE 32U     /* list of scalars: no value twice */

/* Codes of what the checker finds; the API's causes are named after them. Others are plain -EINVAL. */
#define AP_SCHEMA_REQUIRED (-61) /* -ENODATA: a field is missing */
#define AP_SCHEMA_UNKNOWN (-126) /* -ENOKEY: no such field */
#define AP_SCHEMA_VALUES (-33)   /* -EDOM: not one of the values allowed */
#define AP_SCHEMA_DUPLICATE (-17) /* -EEXIST */
#define AP_SCHEMA_TYPE (-42)     /* of another type */

struct ap_schema;

struct ap_field_row {
	const char *name;
	enum ap_type type;
	enum ap_type item;           /* of lists and maps */
	const struct ap_schema *of;  /* object, or object items */
	unsigned flags;
	int64_t min, max;            /* number; length of string, list, map. Both 0: no bound but the parser's */
	const char *const *values;   /* enum: NULL-terminated list of what is allowed */
	const char *preset;          /* default as text; for documents and getters */
	const char *doc;             /* one sentence */
	/* What rows cannot say; adds to errs. The checker puts the path before each text ("path: text"; no colon when the text
	 * begins with '.' or '[': such a text goes on with the path). May be NULL. */
	void (*check)(const struct ap_doc *value, struct ap_errors *errs);
};

struct ap_schema {
	const char *name; /* "VirtualService.spec.http[]" in words for people */
	const char *doc;
	const struct ap_field_row *rows; /* ends with a row whose name is NULL */
	/* Across fields; runs when the rows found nothing wrong. May be NULL. */
	void (*check)(const struct ap_doc *node, struct ap_errors *errs);
};

AP_PUBLIC_BEGIN
/*
 * Check a map against its schema: unknown keys (with the nearest valid one), types, bounds, required fields, enums.  Adds each
 * problem to errs with its place; `path` (may be "") is put before field names ("spec.http[0].timeout").  Returns
 * the number of problems found here.
 */
size_t ap_schema_check(
    const struct ap_schema *schema, const struct ap_doc *node, const char *path, struct ap_errors *errs);
/* The same; unknown keys go to `unknown`, or nowhere when it is NULL, and are not counted. */
size_t ap_schema_check_known(const struct ap_schema *schema, const struct ap_doc *node, const char *path,
    struct ap_errors *errs, struct ap_errors *unknown);
/* Paths of fields in the document that are read and kept but not honoured (AP_F_REPORTED), each as an item of errs. */
size_t ap_schema_reported(
    const struct ap_schema *schema, const struct ap_doc *node, const char *path, struct ap_errors *errs);
/* "string", "list of objects": what a row takes, in words. Returns out. */
const char *ap_schema_type_text(const struct ap_field_row *row, char *out, size_t size);
/* The row of that name, or NULL. */
const struct ap_field_row *ap_schema_row(const struct ap_schema *schema, struct ap_slice name);
AP_PUBLIC_END

#endif
