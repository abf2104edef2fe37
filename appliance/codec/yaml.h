/* yaml.h -- YAML text to documents and back: libyaml events, bounded in size, depth, nodes and aliases. */
#ifndef CODEC_YAML_H
#define CODEC_YAML_H
#include "base/buf.h"
#include "codec/doc.h"

struct ap_yaml_docs {
	struct ap_doc **items; /* in the arena; empty documents are left out */
	uint32_t count;
};

AP_PUBLIC_BEGIN
/*
 * Parse every document of the text.  name: shown in errors and kept in the nodes' places, must outlive them.  YAML 1.2
 * core scalars (true/false, integers, reals, null; quoted ones are strings); duplicate keys, non-scalar keys, unknown
 * tags, merge keys, aliases that expand past the bound are errors.  0, or a negative code with err->at filled.
 */
int ap_yaml_parse(struct ap_arena *arena, const char *name, struct ap_slice text, struct ap_yaml_docs *out,
    struct ap_error *err);
/* Block style, keys in order, no document marker. */
void ap_yaml_write(const struct ap_doc *node, struct ap_buf *out);
AP_PUBLIC_END

#endif
