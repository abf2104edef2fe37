/*
 * yaml_write.c -- documents as block-style YAML.
 *
 * Strings that would read back as something else, or hold what YAML gives meaning to, are written in double quotes
 * with JSON's escapes, which YAML understands.  Pure function.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/yaml.h"
#include "codec/yaml_priv.h"

static bool
is_plain_first(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
	       c == '.' || c == '$' || c == '(';
}

/* Cautious: what is not surely plain gets quotes. */
static bool
is_plain(struct ap_slice s)
{
	struct ap_doc as = { .type = AP_DOC_STRING };

	if (s.len == 0 || !is_plain_first(s.ptr[0]) || s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == ':')
		return false;
	if (ap_slice_starts(s, AP_S("...")))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool is_word = is_plain_first(c) || strchr("-+=@*,;%^~?<>)'&!|", c) != NULL;

		if (c == '\0' || (!is_word && c != ' ' && c != ':'))
			return false;
		if (c == ':' && s.ptr[i + 1 < s.len ? i + 1 : i] == ' ')
			return false;
	}
	return ap_yaml_classify(s, &as) == 0 && as.type == AP_DOC_STRING;
}

static void
write_text(struct ap_slice s, struct ap_buf *out)
{
	if (is_plain(s))
		ap_buf_add_slice(out, s);
	else
		ap_buf_add_json(out, s);
}

/* Texts of several lines as a literal block, when the block can say them exactly. */
static bool
is_block(struct ap_slice s)
{
	if (ap_slice_find(s, '\n') == SIZE_MAX || s.ptr[s.len - 1] != '\n' || s.ptr[0] == ' ' || s.ptr[0] == '\n')
		return false;
	if (s.len >= 2 && s.ptr[s.len - 2] == '\n')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c >= 0x7f)
			return false;
	}
	return s.ptr[0] != '\t';
}

static void
write_block(struct ap_slice s, int indent, struct ap_buf *out)
{
	ap_buf_add_text(out, "|\n");
	while (s.len > 0) {
		struct ap_slice line = ap_slice_cut(&s, '\n');

		if (line.len > 0)
			ap_buf_printf(out, "%*s%.*s", indent, "", AP_FMT(line));
		ap_buf_add_char(out, '\n');
	}
}

static void write_container(const struct ap_doc *node, int indent, struct ap_buf *out);

/* Behind "key:" or "-"; ends its line. */
static void
write_member(const struct ap_doc *node, int indent, bool in_list, struct ap_buf *out)
{
	if ((node->type == AP_DOC_MAP || node->type == AP_DOC_LIST) && node->first != NULL) {
		if (in_list) {
			ap_buf_add_char(out, ' ');
			write_container(node, indent, out);
		} else {
			ap_buf_add_char(out, '\n');
			ap_buf_printf(out, "%*s", indent, "");
			write_container(node, indent, out);
		}
		return;
	}
	ap_buf_add_char(out, ' ');
	if (node->type == AP_DOC_STRING && is_block(node->string)) {
		write_block(node->string, indent, out);
		return;
	}
	if (node->type == AP_DOC_STRING)
		write_text(node->string, out);
	else
		ap_json_write(node, 0, out);
	ap_buf_add_char(out, '\n');
}

/* The first child's line is already indented. */
static void
write_container(const struct ap_doc *node, int indent, struct ap_buf *out)
{
	AP_DOC_FOR(child, node)
	{
		if (out->bad)
			return;
		if (child != node->first)
			ap_buf_printf(out, "%*s", indent, "");
		if (node->type == AP_DOC_MAP) {
			write_text(child->key, out);
			ap_buf_add_char(out, ':');
			write_member(child, child->type == AP_DOC_LIST ? indent : indent + 2, false, out);
		} else {
			ap_buf_add_char(out, '-');
			write_member(child, indent + 2, true, out);
		}
	}
}

void
ap_yaml_write(const struct ap_doc *node, struct ap_buf *out)
{
	if (node == NULL) {
		ap_buf_add_text(out, "null\n");
	} else if ((node->type == AP_DOC_MAP || node->type == AP_DOC_LIST) && node->first != NULL) {
		write_container(node, 0, out);
	} else {
		if (node->type == AP_DOC_STRING)
			write_text(node->string, out);
		else
			ap_json_write(node, 0, out);
		ap_buf_add_char(out, '\n');
	}
}
