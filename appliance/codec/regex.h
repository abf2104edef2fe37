/* regex.h -- regular expressions from configuration: PCRE2 with limits, without what backtracks past all bounds. */
#ifndef CODEC_REGEX_H
#define CODEC_REGEX_H
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

#define AP_REGEX_FULL 1U   /* the whole text must match, as RE2's FullMatch (Istio, Envoy) */
#define AP_REGEX_NOCASE 2U

#define AP_REGEX_GROUPS_MAX 16 /* group 0 is the match */

/* LIMIT: the text was too hard to decide; whoever asks must refuse, not guess. */
enum ap_regex_result { AP_REGEX_NO, AP_REGEX_YES, AP_REGEX_LIMIT };

struct ap_regex; /* immutable: any number of threads may match at once */

AP_PUBLIC_BEGIN
/* Compile. NULL, with a sentence for people in err: bad syntax, look-around, back-references, recursion, too big. */
struct ap_regex *ap_regex_new(struct ap_slice pattern, unsigned flags, struct ap_error *err);
void ap_regex_free(struct ap_regex **re);
enum ap_regex_result ap_regex_match(const struct ap_regex *re, struct ap_slice text);
/* The same, and the groups' texts (inside `text`; NULL pointer: took no part). count: room in groups. */
enum ap_regex_result ap_regex_match_groups(
    const struct ap_regex *re, struct ap_slice text, struct ap_slice *groups, size_t count);
/* Every match replaced; "\0".."\9" in `with` are groups, "\\" is a backslash. 0, or -ELOOP past the limits. */
int ap_regex_replace(
    const struct ap_regex *re, struct ap_slice text, struct ap_slice with, struct ap_buf *out);
/* Is the replacement text well-formed and within the expression's groups? 0, or -EINVAL and a sentence. */
int ap_regex_check_replacement(const struct ap_regex *re, struct ap_slice with, struct ap_error *err);
AP_PUBLIC_END

#endif
