/* yaml_priv.h -- what reading and writing YAML share. */
#ifndef CODEC_YAML_PRIV_H
#define CODEC_YAML_PRIV_H
#include "codec/doc.h"

/* Set type and value (strings: the type alone) of an unquoted scalar. 0, or -ERANGE: a number that does not fit. */
int ap_yaml_classify(struct ap_slice s, struct ap_doc *out);

#endif
