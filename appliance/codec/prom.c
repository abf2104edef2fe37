/*
 * prom.c -- a reader for Prometheus and OpenMetrics text.
 *
 * Line by line and without a tree: the caller keeps what it wants.  Label values are unescaped into one buffer that is
 * used again for each line.  Exemplars are passed over.  Any thread.
 */
#include "codec/prom.h"

#include <errno.h>
#include <math.h>

#include "base/buf.h"
#include "base/text.h"

#define LINE_MAX_SIZE 65536

struct reader {
	struct ap_error *err;
	uint32_t line;
	struct ap_slice family; /* of the last TYPE line */
	enum ap_prom_type type;
	struct ap_prom_label labels[AP_PROM_LABELS_MAX];
	struct ap_buf values;
};

static int
bad(struct reader *rd, const char *what)
{
	return ap_error_set_at(rd->err, -EINVAL, (struct ap_place){ .line = rd->line }, "line %u: %s", rd->line, what);
}

static void
skip_blanks(struct ap_slice *s)
{
	while (s->len > 0 && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
		*s = ap_slice_from(*s, 1);
}

static bool
is_name_char(char c, bool first, bool colons)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':') ||
	       (!first && c >= '0' && c <= '9');
}

static struct ap_slice
take_name(struct ap_slice *s, bool colons)
{
	struct ap_slice name;
	size_t n = 0;

	while (n < s->len && is_name_char(s->ptr[n], n == 0, colons))
		n++;
	name = ap_slice_sub(*s, 0, n);
	*s = ap_slice_from(*s, n);
	return name;
}

static struct ap_slice
take_word(struct ap_slice *s)
{
	struct ap_slice word;
	size_t n = 0;

	skip_blanks(s);
	while (n < s->len && s->ptr[n] != ' ' && s->ptr[n] != '\t')
		n++;
	word = ap_slice_sub(*s, 0, n);
	*s = ap_slice_from(*s, n);
	return word;
}

static enum ap_prom_type
type_of(struct ap_slice word)
{
	static const struct {
		struct ap_slice word;
		enum ap_prom_type type;
	} types[] = {
		{ AP_S("counter"), AP_PROM_COUNTER },
		{ AP_S("gauge"), AP_PROM_GAUGE },
		{ AP_S("histogram"), AP_PROM_HISTOGRAM },
		{ AP_S("summary"), AP_PROM_SUMMARY },
	};

	for (size_t i = 0; i < AP_COUNTOF(types); i++)
		if (ap_slice_eq(word, types[i].word))
			return types[i].type;
	return AP_PROM_UNKNOWN;
}

/* Is the sample one of the family's? */
static bool
is_of_family(struct ap_slice name, struct ap_slice family)
{
	static const char *const suffixes[] = { "", "_total", "_bucket", "_sum", "_count", "_created", "_info",
		"_gcount", "_gsum" };
	struct ap_slice suffix;

	if (family.len == 0 || !ap_slice_starts(name, family))
		return false;
	suffix = ap_slice_from(name, family.len);
	for (size_t i = 0; i < AP_COUNTOF(suffixes); i++)
		if (ap_slice_eq_text(suffix, suffixes[i]))
			return true;
	return false;
}

/* The quoted value at the front of s, unescaped; s stands behind its closing quote. */
static int
take_value(struct reader *rd, struct ap_slice *s, struct ap_slice *out)
{
	size_t start = rd->values.len, i = 1;

	if (s->len == 0 || s->ptr[0] != '"')
		return bad(rd, "a label's value must be quoted");
	for (; i < s->len && s->ptr[i] != '"'; i++) {
		char c = s->ptr[i];

		if (c == '\\' && ++i < s->len)
			c = s->ptr[i] == 'n' ? '\n' : s->ptr[i];
		ap_buf_add_char(&rd->values, c);
	}
	if (i >= s->len)
		return bad(rd, "a label's value does not end");
	*s = ap_slice_from(*s, i + 1);
	*out = ap_slice(rd->values.ptr + start, rd->values.len - start);
	return 0;
}

/* s stands behind '{'. */
static int
take_labels(struct reader *rd, struct ap_slice *s, size_t *count)
{
	for (;;) {
		struct ap_prom_label label;
		int r;

		skip_blanks(s);
		if (s->len > 0 && s->ptr[0] == '}')
			break;
		if (*count == AP_PROM_LABELS_MAX)
			return bad(rd, "too many labels");
		label.name = take_name(s, false);
		skip_blanks(s);
		if (label.name.len == 0 || s->len == 0 || s->ptr[0] != '=')
			return bad(rd, "a label must look like name=\"value\"");
		*s = ap_slice_from(*s, 1);
		skip_blanks(s);
		if ((r = take_value(rd, s, &label.value)) < 0)
			return r;
		rd->labels[(*count)++] = label;
		skip_blanks(s);
		if (s->len > 0 && s->ptr[0] == ',')
			*s = ap_slice_from(*s, 1);
		else if (s->len == 0 || s->ptr[0] != '}')
			return bad(rd, "labels must be parted by commas and end with }");
	}
	*s = ap_slice_from(*s, 1);
	return 0;
}

static int
parse_value(struct ap_slice word, double *out)
{
	bool negative = word.len > 0 && word.ptr[0] == '-';
	struct ap_slice name = word;

	if (word.len > 0 && (negative || word.ptr[0] == '+'))
		name = ap_slice_from(word, 1);
	if (ap_slice_eq_nocase(name, AP_S("inf")) || ap_slice_eq_nocase(name, AP_S("infinity"))) {
		*out = negative ? -INFINITY : INFINITY;
		return 0;
	}
	if (ap_slice_eq_nocase(word, AP_S("nan"))) {
		*out = NAN;
		return 0;
	}
	return ap_text_to_double(word, out);
}

static int
parse_timestamp(struct ap_slice word, int64_t *out_ms)
{
	double seconds;

	if (ap_text_to_i64(word, out_ms) == 0)
		return 0;
	if (ap_text_to_double(word, &seconds) < 0 || seconds > 9e12 || seconds < -9e12)
		return -EINVAL;
	*out_ms = (int64_t)(seconds * 1000);
	return 0;
}

static int
parse_sample(struct reader *rd, struct ap_slice s, struct ap_prom_sample *out)
{
	struct ap_prom_sample sample = { .labels = rd->labels };
	struct ap_slice word;
	int r;

	sample.name = take_name(&s, true);
	if (sample.name.len == 0)
		return bad(rd, "a sample must start with a metric's name");
	skip_blanks(&s);
	if (s.len > 0 && s.ptr[0] == '{') {
		s = ap_slice_from(s, 1);
		if ((r = take_labels(rd, &s, &sample.label_count)) < 0)
			return r;
	}
	word = take_word(&s);
	if (parse_value(word, &sample.value) < 0)
		return bad(rd, "the value is no number");
	word = take_word(&s);
	if (word.len > 0 && word.ptr[0] != '#') {
		if (parse_timestamp(word, &sample.timestamp_ms) < 0)
			return bad(rd, "the timestamp is no number");
		sample.has_timestamp = true;
		word = take_word(&s);
	}
	if (word.len > 0 && word.ptr[0] != '#') /* an exemplar */
		return bad(rd, "something stands behind the sample");
	if (is_of_family(sample.name, rd->family)) {
		sample.family = rd->family;
		sample.type = rd->type;
	} else {
		sample.family = sample.name;
	}
	*out = sample;
	return 0;
}

/* True: the text ends here. */
static bool
read_comment(struct reader *rd, struct ap_slice s)
{
	struct ap_slice word;

	s = ap_slice_from(s, 1);
	word = take_word(&s);
	if (ap_slice_eq(word, AP_S("EOF")))
		return true;
	if (ap_slice_eq(word, AP_S("TYPE"))) {
		rd->family = take_word(&s);
		rd->type = type_of(take_word(&s));
	}
	return false;
}

int
ap_prom_parse(struct ap_slice text, size_t max_samples, int (*fn)(void *arg, const struct ap_prom_sample *sample),
    void *arg, struct ap_error *err)
{
	struct reader rd = { .err = err };
	size_t samples = 0;
	int r = 0;

	ap_buf_init(&rd.values, LINE_MAX_SIZE);
	ap_buf_reserve(&rd.values, LINE_MAX_SIZE); /* values must not move while a line is read */
	while (text.ptr != NULL && r == 0) {
		struct ap_slice line = ap_slice_cut(&text, '\n');
		struct ap_prom_sample sample;

		rd.line++;
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len > LINE_MAX_SIZE)
			r = bad(&rd, "the line is too long");
		skip_blanks(&line);
		if (r < 0 || line.len == 0)
			continue;
		if (line.ptr[0] == '#') {
			if (read_comment(&rd, line))
				break;
			continue;
		}
		ap_buf_clear(&rd.values);
		if (++samples > max_samples)
			r = bad(&rd, "there are too many samples");
		else if ((r = parse_sample(&rd, line, &sample)) == 0)
			r = fn(arg, &sample);
	}
	ap_buf_done(&rd.values);
	return r;
}

struct ap_slice
ap_prom_label(const struct ap_prom_sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->label_count; i++)
		if (ap_slice_eq_text(sample->labels[i].name, name))
			return sample->labels[i].value;
	return AP_SLICE_NONE;
}
