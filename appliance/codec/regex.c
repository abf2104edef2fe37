/*
 * regex.c -- PCRE2 behind a gate.
 *
 * Expressions come from operators, who write for RE2 (Istio, Envoy), and texts from strangers.  The scan below admits
 * what RE2 has: no look-around, back-references, recursion, atomic groups, callouts or (*VERBS).  What is left may still
 * backtrack, so each match has limits, and passing them is an outcome of its own.  No JIT: it needs memory that is
 * writable and executable, which the services forbid themselves.  A compiled expression never changes; any thread.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "codec/regex.h"

#include <errno.h>
#include <pcre2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define PATTERN_MAX 4096
#define MATCH_LIMIT 500000
#define DEPTH_LIMIT 50000
#define HEAP_LIMIT_KIB 16384
#define NEST_LIMIT 100

struct ap_regex {
	pcre2_code *code;
	pcre2_match_context *limits;
	uint32_t groups; /* without group 0 */
};

static int
refuse(struct ap_error *err, size_t at, const char *what)
{
	return ap_error_set(err, -EINVAL, "%s is not supported in regular expressions (at offset %zu)", what, at);
}

/* Behind "(?": 0 when RE2 knows it. */
static int
check_group(struct ap_slice p, size_t i, struct ap_error *err)
{
	size_t at = i;

	if (i < p.len && p.ptr[i] == 'P')
		i++;
	if (i < p.len && p.ptr[i] == '<') {
		if (i + 1 < p.len && p.ptr[i + 1] != '=' && p.ptr[i + 1] != '!')
			return 0; /* a name */
		return refuse(err, at, "look-behind");
	}
	if (i > at)
		return refuse(err, at, "(?P without a name");
	if (i < p.len && (p.ptr[i] == '=' || p.ptr[i] == '!'))
		return refuse(err, at, "look-ahead");
	while (i < p.len && strchr("imsU-", p.ptr[i]) != NULL && p.ptr[i] != '\0')
		i++;
	if (i < p.len && (p.ptr[i] == ':' || p.ptr[i] == ')'))
		return 0;
	return refuse(err, at, "this kind of group");
}

/* At a backslash: the number of bytes to pass over, or negative. */
static int
check_escape(struct ap_slice p, size_t i, size_t *skip, struct ap_error *err)
{
	char c = i + 1 < p.len ? p.ptr[i + 1] : '\0';

	*skip = 2;
	if (c >= '1' && c <= '9')
		return refuse(err, i, "a back-reference");
	if (c != '\0' && strchr("gkKGCXRNcEo", c) != NULL)
		return refuse(err, i, "this escape");
	if (c == 'Q') {
		size_t end = ap_slice_search(ap_slice_from(p, i), AP_S("\\E"));

		*skip = end == SIZE_MAX ? p.len - i : end + 2;
	}
	return 0;
}

/* At "[" in a class: the length of "[:name:]", or 1. */
static size_t
posix_class_len(struct ap_slice p, size_t i)
{
	size_t n = 2;

	if (i + 1 >= p.len || p.ptr[i + 1] != ':')
		return 1;
	while (i + n < p.len && (p.ptr[i + n] == '^' || (p.ptr[i + n] >= 'a' && p.ptr[i + n] <= 'z')))
		n++;
	return i + n + 1 < p.len && p.ptr[i + n] == ':' && p.ptr[i + n + 1] == ']' ? n + 2 : 1;
}

/* Pass over a character class; *i stands behind its "[". PCRE2 finds what is wrong with it. */
static int
skip_class(struct ap_slice p, size_t *i, struct ap_error *err)
{
	size_t at = *i, skip;
	int r;

	if (at < p.len && p.ptr[at] == '^')
		at++;
	if (at < p.len && p.ptr[at] == ']')
		at++;
	while (at < p.len && p.ptr[at] != ']') {
		skip = 1;
		if (p.ptr[at] == '\\' && (r = check_escape(p, at, &skip, err)) < 0)
			return r;
		if (p.ptr[at] == '[')
			skip = posix_class_len(p, at);
		at += skip;
	}
	*i = at + 1;
	return 0;
}

static int
check_pattern(struct ap_slice p, struct ap_error *err)
{
	int r = 0;

	for (size_t i = 0; i < p.len && r == 0;) {
		size_t skip = 1;

		if (p.ptr[i] == '\\') {
			r = check_escape(p, i, &skip, err);
		} else if (p.ptr[i] == '[') {
			i++;
			r = skip_class(p, &i, err);
			continue;
		} else if (p.ptr[i] == '(' && i + 1 < p.len && p.ptr[i + 1] == '*') {
			r = refuse(err, i, "(*...)");
		} else if (p.ptr[i] == '(' && i + 1 < p.len && p.ptr[i + 1] == '?') {
			r = check_group(p, i + 2, err);
		}
		i += skip;
	}
	return r;
}

static pcre2_code *
compile(struct ap_slice pattern, unsigned flags, struct ap_error *err)
{
	uint32_t options =
	    PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UCP;
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code;
	PCRE2_SIZE at;
	int problem;

	if (context == NULL)
		return ap_error_set(err, -ENOMEM, "out of memory") < 0 ? NULL : NULL;
	pcre2_set_parens_nest_limit(context, NEST_LIMIT);
	if ((flags & AP_REGEX_FULL) != 0)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	if ((flags & AP_REGEX_NOCASE) != 0)
		options |= PCRE2_CASELESS;
	code = pcre2_compile(
	    (PCRE2_SPTR)(pattern.len == 0 ? "" : pattern.ptr), pattern.len, options, &problem, &at, context);
	pcre2_compile_context_free(context);
	if (code == NULL) {
		char text[160] = "";

		pcre2_get_error_message(problem, (PCRE2_UCHAR *)text, sizeof(text));
		ap_error_set(err, -EINVAL, "bad regular expression: %s (at offset %zu)", text, at);
	}
	return code;
}

struct ap_regex *
ap_regex_new(struct ap_slice pattern, unsigned flags, struct ap_error *err)
{
	uint32_t back_references = 0;
	struct ap_regex *re;
	pcre2_code *code;

	if (pattern.len > PATTERN_MAX) {
		ap_error_set(err, -E2BIG, "a regular expression of more than %d bytes", PATTERN_MAX);
		return NULL;
	}
	if (check_pattern(pattern, err) < 0 || (code = compile(pattern, flags, err)) == NULL)
		return NULL;
	pcre2_pattern_info(code, PCRE2_INFO_BACKREFMAX, &back_references);
	if (back_references > 0) {
		pcre2_code_free(code);
		refuse(err, 0, "a back-reference");
		return NULL;
	}
	re = ap_new(struct ap_regex);
	re->code = code;
	re->limits = pcre2_match_context_create(NULL);
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &re->groups);
	if (re->limits == NULL) {
		ap_error_set(err, -ENOMEM, "out of memory");
		ap_regex_free(&re);
		return NULL;
	}
	pcre2_set_match_limit(re->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(re->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(re->limits, HEAP_LIMIT_KIB);
	return re;
}

void
ap_regex_free(struct ap_regex **re)
{
	if (*re == NULL)
		return;
	pcre2_match_context_free((*re)->limits);
	pcre2_code_free((*re)->code);
	ap_free(re);
}

/* The offsets of the match that starts at `from` or behind it. */
static enum ap_regex_result
match_at(const struct ap_regex *re, struct ap_slice text, size_t from, pcre2_match_data *data)
{
	PCRE2_SPTR subject = (PCRE2_SPTR)(text.len == 0 ? "" : text.ptr);
	int r = pcre2_match(re->code, subject, text.len, from, 0, data, re->limits);

	if (r >= 0)
		return AP_REGEX_YES;
	return r == PCRE2_ERROR_NOMATCH ? AP_REGEX_NO : AP_REGEX_LIMIT;
}

static void
store_groups(struct ap_slice text, pcre2_match_data *data, struct ap_slice *groups, size_t count)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
	uint32_t pairs = pcre2_get_ovector_count(data);

	for (size_t i = 0; i < count; i++) {
		bool is_set = i < pairs && at[2 * i] != PCRE2_UNSET && at[2 * i + 1] >= at[2 * i];

		groups[i] = AP_SLICE_NONE;
		if (is_set)
			groups[i] =
			    text.ptr == NULL ? AP_S("") : ap_slice_sub(text, at[2 * i], at[2 * i + 1] - at[2 * i]);
	}
}

enum ap_regex_result
ap_regex_match_groups(const struct ap_regex *re, struct ap_slice text, struct ap_slice *groups, size_t count)
{
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(re->code, NULL);
	enum ap_regex_result result;

	if (data == NULL)
		return AP_REGEX_LIMIT;
	result = match_at(re, text, 0, data);
	if (result == AP_REGEX_YES)
		store_groups(text, data, groups, count);
	pcre2_match_data_free(data);
	return result;
}

enum ap_regex_result
ap_regex_match(const struct ap_regex *re, struct ap_slice text)
{
	return ap_regex_match_groups(re, text, NULL, 0);
}

static void
add_replacement(struct ap_slice with, const struct ap_slice *groups, struct ap_buf *out)
{
	for (size_t i = 0; i < with.len; i++) {
		char c = with.ptr[i], next = i + 1 < with.len ? with.ptr[i + 1] : '\0';

		if (c != '\\' || (next != '\\' && !(next >= '0' && next <= '9'))) {
			ap_buf_add_char(out, c);
			continue;
		}
		i++;
		if (next == '\\')
			ap_buf_add_char(out, '\\');
		else
			ap_buf_add_slice(out, groups[next - '0']);
	}
}

int
ap_regex_replace(const struct ap_regex *re, struct ap_slice text, struct ap_slice with, struct ap_buf *out)
{
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(re->code, NULL);
	enum ap_regex_result result = AP_REGEX_LIMIT;
	size_t from = 0, copied = 0;

	while (data != NULL && !out->bad && from <= text.len &&
	       (result = match_at(re, text, from, data)) == AP_REGEX_YES) {
		const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
		struct ap_slice groups[10];

		store_groups(text, data, groups, AP_COUNTOF(groups));
		ap_buf_add_slice(out, ap_slice_sub(text, copied, at[0] - copied));
		add_replacement(with, groups, out);
		copied = at[1];
		from = at[1];
		if (at[0] == at[1]) /* empty: go on behind the next character */
			from += AP_MAX(ap_text_utf8_next(ap_slice_from(text, from)), (size_t)1);
	}
	pcre2_match_data_free(data);
	if (result == AP_REGEX_LIMIT)
		return -ELOOP;
	ap_buf_add_slice(out, ap_slice_from(text, copied));
	return 0;
}

int
ap_regex_check_replacement(const struct ap_regex *re, struct ap_slice with, struct ap_error *err)
{
	for (size_t i = 0; i < with.len; i++) {
		char next = i + 1 < with.len ? with.ptr[i + 1] : '\0';

		if (with.ptr[i] != '\\')
			continue;
		i++;
		if (next == '\\')
			continue;
		if (next < '0' || next > '9')
			return ap_error_set(err, -EINVAL, "a backslash must be followed by a digit or a backslash");
		if ((uint32_t)(next - '0') > re->groups)
			return ap_error_set(err, -EINVAL, "\\%c: the expression has %u groups", next, re->groups);
	}
	return 0;
}
