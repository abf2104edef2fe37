/* json.h -- JSON text to a document and back; parsed by jansson, written by us. */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H
#include "base/buf.h"
#include "codec/doc.h"

AP_PUBLIC_BEGIN
/* One value, nothing after it; depth at most 64; duplicate keys are errors. Places are line and column 0. */
int ap_json_parse(struct ap_arena *arena, const char *name, struct ap_slice text, struct ap_doc **out,
    struct ap_error *err);
/* Compact, or with `indent` spaces when indent > 0. */
void ap_json_write(const struct ap_doc *node, int indent, struct ap_buf *out);
AP_PUBLIC_END

#endif
