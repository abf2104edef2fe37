/* checks.c -- what rows cannot say of a single value. Each adds one sentence; the schema walk puts the path before it. No state. */
#include "model/checks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/text.h"
#include "codec/regex.h"

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_host_label(struct ap_slice label)
{
	if (label.len == 0 || label.len > 63)
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
			return false;
	return label.ptr[0] != '-' && label.ptr[label.len - 1] != '-';
}

bool
ap_check_is_hostname(struct ap_slice s)
{
	struct ap_slice rest = s;

	if (s.len == 0 || s.len > 255)
		return false;
	if (s.len > 1 && s.ptr[s.len - 1] == '.') /* fully qualified */
		rest = ap_slice_sub(s, 0, s.len - 1);
	while (rest.ptr != NULL)
		if (!is_host_label(ap_slice_cut(&rest, '.')))
			return false;
	return true;
}

bool
ap_check_is_wild_hostname(struct ap_slice s)
{
	struct ap_slice first, rest = s;

	if (ap_slice_eq(s, AP_S("*")))
		return true;
	first = ap_slice_cut(&rest, '.');
	if (first.len == 0 || first.ptr[0] != '*')
		return ap_check_is_hostname(s);
	/* "*" alone, or "*-suffix" as the first label */
	if (first.len > 1 && (first.ptr[1] != '-' || !is_host_label(ap_slice_from(first, 2))))
		return false;
	return rest.ptr != NULL && ap_check_is_hostname(rest);
}

bool
ap_check_is_header_name(struct ap_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.ptr[i]) && strchr("!#$%&'*+-.^_`|~", s.ptr[i]) == NULL)
			return false;
	return s.len > 0;
}

/* The proxies compile it the same way, so what is accepted here works there. */
const char *
ap_check_regex(struct ap_slice s, char *out, size_t size)
{
	struct ap_error err = { 0 };
	struct ap_regex *re = ap_regex_new(s, AP_REGEX_FULL, &err);

	if (re == NULL) {
		snprintf(out, size, "%s", err.text);
		return out;
	}
	ap_regex_free(&re);
	return NULL;
}

void
ap_check_port(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer < 1 || v->integer > 65535)
		ap_complain(errs, v, "must be a port between 1 and 65535, is %lld", (long long)v->integer);
}

void
ap_check_port0(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer < 0 || v->integer > 65535)
		ap_complain(errs, v, "must be a port between 0 and 65535, is %lld", (long long)v->integer);
}

void
ap_check_ports(const struct ap_doc *v, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, v) {
		if (item->integer < 1 || item->integer > 65535)
			ap_complain(errs, item, "[%u]: must be a port between 1 and 65535, is %lld", i,
			    (long long)item->integer);
		i++;
	}
}

void
ap_check_dns_label(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_text_is_label(v->string))
		ap_complain(errs, v,
		    "\"%.*s\" must be lower case letters, digits and '-', at most 63, and begin and end with a letter or digit",
		    AP_FMT(v->string));
}

void
ap_check_dns_name(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_text_is_dns_name(v->string))
		ap_complain(errs, v,
		    "\"%.*s\" must be lower case letters, digits, '-' and '.', and each part must begin and end with a letter or digit",
		    AP_FMT(v->string));
}

void
ap_check_host(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_check_is_wild_hostname(v->string))
		ap_complain(errs, v, "\"%.*s\" is no host name; a wildcard may only be the first label", AP_FMT(v->string));
}

void
ap_check_ip(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_ip ip;

	if (ap_ip_parse(v->string, &ip) != 0)
		ap_complain(errs, v, "\"%.*s\" is no IP address", AP_FMT(v->string));
}

void
ap_check_ip_list(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_ip ip;
	uint32_t i = 0;

	AP_DOC_FOR (item, v) {
		if (ap_ip_parse(item->string, &ip) != 0)
			ap_complain(errs, item, "[%u]: \"%.*s\" is no IP address", i, AP_FMT(item->string));
		i++;
	}
}

void
ap_check_cidr_list(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_cidr cidr;
	uint32_t i = 0;

	AP_DOC_FOR (item, v) {
		if (ap_cidr_parse(item->string, &cidr) != 0)
			ap_complain(errs, item, "[%u]: \"%.*s\" is no IP network such as 10.0.0.0/8", i, AP_FMT(item->string));
		i++;
	}
}

void
ap_check_header_name(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_check_is_header_name(v->string))
		ap_complain(errs, v, "\"%.*s\" is no header name", AP_FMT(v->string));
}

void
ap_check_header_names(const struct ap_doc *v, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, v) {
		if (!ap_check_is_header_name(item->string))
			ap_complain(errs, item, "[%u]: \"%.*s\" is no header name", i, AP_FMT(item->string));
		i++;
	}
}

void
ap_check_header_map(const struct ap_doc *v, struct ap_errors *errs)
{
	AP_DOC_FOR (member, v) {
		struct ap_slice name = member->key;

		if (name.len > 1 && name.ptr[0] == ':') /* Envoy's pseudo headers */
			name = ap_slice_from(name, 1);
		if (!ap_check_is_header_name(name))
			ap_errors_add(errs, -EINVAL, member->key_at, "\"%.*s\" is no header name", AP_FMT(member->key));
	}
}

void
ap_check_regex_value(const struct ap_doc *v, struct ap_errors *errs)
{
	char why[160];

	if (ap_check_regex(v->string, why, sizeof(why)) != NULL)
		ap_complain(errs, v, "\"%.*s\" cannot be used: %s", AP_FMT(v->string), why);
}

/* [prefix/]name, name: letters, digits, '-', '_', '.', begins and ends with a letter or digit, at most 63. */
static bool
is_label_name(struct ap_slice s, bool may_be_empty)
{
	if (s.len == 0)
		return may_be_empty;
	if (s.len > 63 || !is_alnum(s.ptr[0]) || !is_alnum(s.ptr[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_' && s.ptr[i] != '.')
			return false;
	return true;
}

void
ap_check_labels(const struct ap_doc *v, struct ap_errors *errs)
{
	AP_DOC_FOR (member, v) {
		struct ap_slice name = member->key;
		size_t slash = ap_slice_find(name, '/');
		bool fine = true;

		if (slash != SIZE_MAX) {
			fine = ap_text_is_dns_name(ap_slice_sub(name, 0, slash));
			name = ap_slice_from(name, slash + 1);
		}
		if (!fine || !is_label_name(name, false))
			ap_errors_add(errs, -EINVAL, member->key_at, "\"%.*s\" is no label name", AP_FMT(member->key));
		if (member->type == AP_DOC_STRING && !is_label_name(member->string, true))
			ap_complain(errs, member,
			    ".%.*s: \"%.*s\" is no label value: at most 63 letters, digits, '-', '_' and '.', and a letter or digit at both ends",
			    AP_FMT(member->key), AP_FMT(member->string));
	}
}

void
ap_check_non_empty_items(const struct ap_doc *v, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, v) {
		if (item->string.len == 0)
			ap_errors_add(errs, -EINVAL, item->at, "[%u]: must not be empty", i);
		i++;
	}
}

void
ap_check_positive_duration(const struct ap_doc *v, struct ap_errors *errs)
{
	int64_t ns;

	if (ap_text_to_duration(v->string, &ns) == 0 && ns < 1000000)
		ap_complain(errs, v, "must be a duration of at least 1ms, is \"%.*s\"", AP_FMT(v->string));
}

/* ([0-9]{1,5}(h|m|s|ms)){1,4} */
void
ap_check_gep_duration(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_slice s = v->string;
	unsigned parts = 0;
	size_t i = 0;

	while (i < s.len) {
		size_t digits = 0;

		while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9') {
			i++;
			digits++;
		}
		if (digits == 0 || digits > 5 || ++parts > 4 || i == s.len)
			goto bad;
		if (s.ptr[i] == 'm' && i + 1 < s.len && s.ptr[i + 1] == 's')
			i += 2;
		else if (s.ptr[i] == 'h' || s.ptr[i] == 'm' || s.ptr[i] == 's')
			i++;
		else
			goto bad;
	}
	if (parts > 0)
		return;
bad:
	ap_complain(errs, v, "\"%.*s\" must be one to four parts such as 1h30m or 500ms, without fractions", AP_FMT(s));
}

static bool
two_digits(const char *p, int max, int *out)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*out = (p[0] - '0') * 10 + (p[1] - '0');
	return *out <= max;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar (Howard Hinnant's formula). */
static int64_t
days_of(int64_t y, int m, int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

bool
ap_check_parse_time(struct ap_slice s, int64_t *out_ms)
{
	int century, year, month, day, hour, minute, second, zone_h = 0, zone_m = 0;
	int64_t ms = 0, scale = 100, t;
	size_t i = 19;

	if (s.len < 20 || s.ptr[4] != '-' || s.ptr[7] != '-' || (s.ptr[10] != 'T' && s.ptr[10] != 't') ||
	    s.ptr[13] != ':' || s.ptr[16] != ':')
		return false;
	if (!two_digits(s.ptr, 99, &century) || !two_digits(s.ptr + 2, 99, &year) || !two_digits(s.ptr + 5, 12, &month) ||
	    !two_digits(s.ptr + 8, 31, &day) || !two_digits(s.ptr + 11, 23, &hour) ||
	    !two_digits(s.ptr + 14, 59, &minute) || !two_digits(s.ptr + 17, 60, &second) || month == 0 || day == 0)
		return false;
	if (s.ptr[i] == '.') {
		i++;
		if (i == s.len || s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++, scale /= 10)
			ms += (s.ptr[i] - '0') * scale;
	}
	if (i == s.len)
		return false;
	t = days_of(century * 100 + year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
	if ((s.ptr[i] == 'Z' || s.ptr[i] == 'z') && i + 1 == s.len) {
		*out_ms = t * 1000 + ms;
		return true;
	}
	if ((s.ptr[i] != '+' && s.ptr[i] != '-') || i + 6 != s.len || s.ptr[i + 3] != ':' ||
	    !two_digits(s.ptr + i + 1, 23, &zone_h) || !two_digits(s.ptr + i + 4, 59, &zone_m))
		return false;
	t -= (s.ptr[i] == '+' ? 1 : -1) * (zone_h * 3600 + zone_m * 60);
	*out_ms = t * 1000 + ms;
	return true;
}

void
ap_check_time(const struct ap_doc *v, struct ap_errors *errs)
{
	int64_t ms;

	if (!ap_check_parse_time(v->string, &ms))
		ap_complain(errs, v, "\"%.*s\" is no time such as 2026-11-24T05:45:38Z", AP_FMT(v->string));
}

bool
ap_check_has(const struct ap_doc *node, const char *key)
{
	const struct ap_doc *v = ap_doc_get(node, key);

	return v != NULL && v->type != AP_DOC_NULL;
}

static unsigned
count_keys(const struct ap_doc *node, const char *const *keys, char *list, size_t size)
{
	unsigned count = 0;
	size_t len = 0;

	list[0] = '\0';
	for (const char *const *k = keys; *k != NULL; k++) {
		count += ap_check_has(node, *k);
		if (len < size) {
			int n = snprintf(list + len, size - len, "%s%s", k == keys ? "" : ", ", *k);
			len += n > 0 ? (size_t)n : 0;
		}
	}
	return count;
}

void
ap_check_one_of(const struct ap_doc *node, const char *const *keys, struct ap_errors *errs)
{
	char list[200];
	unsigned n = count_keys(node, keys, list, sizeof(list));

	if (n != 1)
		ap_complain(errs, node, "exactly one of %s must be set, not %u", list, n);
}

void
ap_check_at_most_one(const struct ap_doc *node, const char *const *keys, struct ap_errors *errs)
{
	char list[200];
	unsigned n = count_keys(node, keys, list, sizeof(list));

	if (n > 1)
		ap_complain(errs, node, "at most one of %s may be set, not %u", list, n);
}
