/* glob.h -- Istio's string matches ("*", "prefix*", "*suffix", exact) and host names with a leading wildcard. */
#ifndef CODEC_GLOB_H
#define CODEC_GLOB_H
#include <stdbool.h>

#include "base/compiler.h"
#include "base/slice.h"

enum ap_glob_kind { AP_GLOB_EXACT, AP_GLOB_PREFIX, AP_GLOB_SUFFIX, AP_GLOB_PRESENT };

/* Taken apart once, matched often. The text is the pattern's owner's. */
struct ap_glob {
	enum ap_glob_kind kind;
	struct ap_slice text; /* without the star */
};

AP_PUBLIC_BEGIN
/* "*" matches any text that is not empty (Istio: "the header is present"). A star elsewhere is itself. */
struct ap_glob ap_glob_parse(struct ap_slice pattern);
bool ap_glob_match(const struct ap_glob *g, struct ap_slice text);
bool ap_glob_matches(struct ap_slice pattern, struct ap_slice text); /* both in one */
/* Host names, case ignored, a final dot ignored: "*" is every host, "*.x" is each name below x (not x itself). */
bool ap_glob_host_matches(struct ap_slice pattern, struct ap_slice host);
/* "*", "*.name" or a name; labels may hold '_'. */
bool ap_glob_host_is_valid(struct ap_slice pattern);
/* Negative when a is the more specific pattern: names before wildcards, longer ones before shorter ones. */
int ap_glob_host_cmp(struct ap_slice a, struct ap_slice b);
/* Does any host match both? */
bool ap_glob_host_overlaps(struct ap_slice a, struct ap_slice b);
AP_PUBLIC_END

#endif
