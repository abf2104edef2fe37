/*
 * wp_regex.c -- PCRE2 for what operators write: compiled at configuration time, with limits on each match, and without what
 * makes a match explode or reach outside its text (look-around, back-references, recursion, verbs), which is what RE2, the
 * library behind Istio's fields, refuses as well.  Compiled patterns are immutable; working memory is the thread's.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "waypoint/wp_match.h"

#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#define PATTERN_MAX 4096
#define MATCH_LIMIT 100000
#define CAPTURES_MAX 10

struct wp_regex {
	pcre2_code *code;
	pcre2_match_context *context;
};

void
wp_env_init(struct wp_env *env)
{
	env->match_data = pcre2_match_data_create(CAPTURES_MAX, NULL);
	AP_CHECK(env->match_data != NULL);
}

void
wp_env_done(struct wp_env *env)
{
	pcre2_match_data_free(env->match_data);
	env->match_data = NULL;
}

/* After "(?": what is refused, or NULL. */
static const char *
group_problem(const char *p, const char *end)
{
	if (p == end)
		return NULL; /* PCRE2 says it better */
	switch (*p) {
	case '=':
	case '!': return "look-ahead";
	case '<': return p + 1 < end && (p[1] == '=' || p[1] == '!') ? "look-behind" : NULL;
	case 'R':
	case '&':
	case '+':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9': return "recursion";
	case '-': return p + 1 < end && isdigit((unsigned char)p[1]) ? "recursion" : NULL;
	case 'P': return p + 1 < end && (p[1] == '>' || p[1] == '=') ? "recursion or a back-reference" : NULL;
	case '(': return "a conditional group";
	case 'C': return "a callout";
	default: return NULL;
	}
}

/* A construct that we refuse, or NULL. */
static const char *
pattern_problem(struct ap_slice pattern)
{
	const char *p = pattern.ptr, *end = p + pattern.len, *what;
	bool in_class = false;

	for (; p < end; p++) {
		if (*p == '\\') {
			p++;
			if (p < end && !in_class && ((*p >= '1' && *p <= '9') || *p == 'g' || *p == 'k'))
				return "a back-reference";
			if (p < end && *p == 'Q') /* literal text up to \E */
				while (p + 1 < end && !(p[0] == '\\' && p[1] == 'E'))
					p++;
		} else if (in_class) {
			in_class = *p != ']';
		} else if (*p == '[') {
			in_class = true;
			if (p + 1 < end && p[1] == '^')
				p++;
			if (p + 1 < end && p[1] == ']')
				p++;
		} else if (*p == '(' && p + 1 < end && p[1] == '*') {
			return "a verb";
		} else if (*p == '(' && p + 1 < end && p[1] == '?') {
			what = group_problem(p + 2, end);
			if (what != NULL)
				return what;
		}
	}
	return NULL;
}

static void
regex_free(void *arg)
{
	struct wp_regex *r = arg;

	pcre2_code_free(r->code);
	pcre2_match_context_free(r->context);
}

struct wp_regex *
wp_regex_new(struct ap_arena *arena, struct ap_slice pattern, bool ignore_case, bool whole, struct ap_error *err)
{
	uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP;
	struct wp_regex *r;
	const char *what;
	int code;
	size_t at;

	if (pattern.len == 0 || pattern.len > PATTERN_MAX) {
		ap_error_set(err, -EINVAL, "a regular expression has 1 to %d bytes", PATTERN_MAX);
		return NULL;
	}
	what = pattern_problem(pattern);
	if (what != NULL) {
		ap_error_set(err, -EINVAL, "the regular expression \"%.*s\" uses %s, which is not taken",
		    AP_FMT(ap_slice_sub(pattern, 0, 200)), what);
		return NULL;
	}
	r = ap_arena_new_object(arena, struct wp_regex);
	if (r == NULL) {
		ap_error_set(err, -ENOMEM, "the configuration is too large");
		return NULL;
	}
	if (ignore_case)
		options |= PCRE2_CASELESS;
	if (whole)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	r->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &at, NULL);
	if (r->code == NULL) {
		char text[120];

		pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
		ap_error_set(err, -EINVAL, "the regular expression \"%.*s\" is wrong at byte %zu: %s",
		    AP_FMT(ap_slice_sub(pattern, 0, 200)), at, text);
		return NULL;
	}
	r->context = pcre2_match_context_create(NULL);
	AP_CHECK(r->context != NULL);
	pcre2_set_match_limit(r->context, MATCH_LIMIT);
	pcre2_set_depth_limit(r->context, 1000);
	pcre2_set_heap_limit(r->context, 256);
	ap_arena_defer(arena, regex_free, r);
	pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* where memory may not be executable it fails, and is not needed */
	return r;
}

bool
wp_regex_matches(const struct wp_regex *r, struct wp_env *env, struct ap_slice text)
{
	PCRE2_SPTR subject = (PCRE2_SPTR)(text.ptr == NULL ? "" : text.ptr);

	return pcre2_match(r->code, subject, text.len, 0, 0, env->match_data, r->context) >= 0;
}

static void
replace_one(struct ap_buf *b, struct ap_slice text, struct ap_slice sub, const size_t *ov, int pairs)
{
	for (size_t i = 0; i < sub.len; i++) {
		int n;

		if (sub.ptr[i] != '\\' || i + 1 == sub.len) {
			ap_buf_add_char(b, sub.ptr[i]);
			continue;
		}
		i++;
		n = sub.ptr[i] - '0';
		if (n < 0 || n > 9)
			ap_buf_add_char(b, sub.ptr[i]);
		else if (n < pairs && ov[2 * n] != PCRE2_UNSET)
			ap_buf_add(b, text.ptr + ov[2 * n], ov[2 * n + 1] - ov[2 * n]);
	}
}

struct ap_slice
wp_regex_replace(const struct wp_regex *r, struct wp_env *env, struct ap_slice text, struct ap_slice substitution,
    struct ap_arena *arena)
{
	size_t at = 0;
	struct ap_buf b;
	struct ap_slice out;

	ap_buf_init(&b, 65536);
	while (at <= text.len) {
		const size_t *ov = pcre2_get_ovector_pointer(env->match_data);
		int n = pcre2_match(r->code, (PCRE2_SPTR)text.ptr, text.len, at, 0, env->match_data, r->context);

		if (n < 0)
			break;
		if (n == 0)
			n = CAPTURES_MAX;
		ap_buf_add(&b, text.ptr + at, ov[0] - at);
		replace_one(&b, text, substitution, ov, n);
		at = ov[1];
		if (ov[1] == ov[0]) { /* an empty match: step over one byte */
			if (at < text.len)
				ap_buf_add_char(&b, text.ptr[at]);
			at++;
		}
	}
	if (at < text.len)
		ap_buf_add(&b, text.ptr + at, text.len - at);
	out = b.bad ? AP_SLICE_NONE : ap_arena_copy(arena, ap_buf_slice(&b));
	ap_buf_done(&b);
	return out;
}
