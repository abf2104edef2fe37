/*
 * dns.c -- DNS messages, by RFC 1035, 6891 (EDNS) and 2308.
 *
 * Queries are read strictly: one question, no compression in it, at most one OPT.  Names in answers may be compressed;
 * a pointer must point before the name that it ends, so following them always ends.  Replies compress what costs
 * nothing to compress: the question's name and the last CNAME's target.  Pure functions.
 */
#include "codec/dns.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

#define HEAD_SIZE 12
#define OPT_SIZE 11
#define WIRE_NAME_MAX 255
#define CLASS_IN 1

#define FLAG_QR 0x8000U
#define FLAG_AA 0x0400U
#define FLAG_TC 0x0200U
#define FLAG_RD 0x0100U
#define FLAG_RA 0x0080U
#define FLAG_CD 0x0010U

struct cursor {
	const uint8_t *bytes;
	size_t size, at;
};

static struct cursor
cursor_of(struct ap_slice message)
{
	return (struct cursor){ .bytes = (const uint8_t *)message.ptr, .size = message.len };
}

static int
get_u16(struct cursor *c, uint16_t *out)
{
	if (c->size - c->at < 2)
		return -EBADMSG;
	*out = (uint16_t)(c->bytes[c->at] << 8 | c->bytes[c->at + 1]);
	c->at += 2;
	return 0;
}

static int
get_u32(struct cursor *c, uint32_t *out)
{
	uint16_t high, low;

	if (get_u16(c, &high) < 0 || get_u16(c, &low) < 0)
		return -EBADMSG;
	*out = (uint32_t)high << 16 | low;
	return 0;
}

static char
lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/*
 * Read a name into text (lower case, NUL-terminated).  -EILSEQ: legal DNS, but not what a host is called; c stands
 * behind the name then, too.
 */
static int
get_name(struct cursor *c, bool compressed, char text[AP_DNS_NAME_MAX], size_t *out_len)
{
	size_t at = c->at, len = 0, limit = c->at;
	bool jumped = false, odd = false;

	for (;;) {
		uint8_t n;

		if (at >= c->size)
			return -EBADMSG;
		n = c->bytes[at];
		if ((n & 0xc0) == 0xc0) {
			size_t target;

			if (!compressed || c->size - at < 2)
				return -EBADMSG;
			target = (size_t)(n & 0x3f) << 8 | c->bytes[at + 1];
			if (!jumped)
				c->at = at + 2;
			if (target >= limit) /* only backwards, each time further */
				return -EBADMSG;
			jumped = true;
			limit = at = target;
			continue;
		}
		if (n > 63 || c->size - at < 1U + n)
			return -EBADMSG;
		at++;
		if (n == 0)
			break;
		if (len + (len > 0) + n > AP_DNS_NAME_MAX - 1)
			return -EBADMSG;
		if (len > 0)
			text[len++] = '.';
		for (uint8_t i = 0; i < n; i++) {
			uint8_t b = c->bytes[at + i];

			odd = odd || b <= 0x20 || b > 0x7e || b == '.';
			text[len++] = lower(b);
		}
		at += n;
	}
	text[len] = '\0';
	*out_len = len;
	if (!jumped)
		c->at = at;
	return odd ? -EILSEQ : 0;
}

struct counts {
	uint16_t question, answer, authority, additional;
};

static int
get_head(struct cursor *c, uint16_t *id, uint16_t *flags, struct counts *counts)
{
	if (get_u16(c, id) < 0 || get_u16(c, flags) < 0 || get_u16(c, &counts->question) < 0 ||
	    get_u16(c, &counts->answer) < 0 || get_u16(c, &counts->authority) < 0 ||
	    get_u16(c, &counts->additional) < 0)
		return -EBADMSG;
	return 0;
}

/* The fixed part behind a record's name; its data is checked to be there. */
struct record_head {
	uint16_t type, class, size;
	uint32_t ttl;
};

static int
get_record_head(struct cursor *c, struct record_head *out)
{
	if (get_u16(c, &out->type) < 0 || get_u16(c, &out->class) < 0 || get_u32(c, &out->ttl) < 0 ||
	    get_u16(c, &out->size) < 0 || c->size - c->at < out->size)
		return -EBADMSG;
	return 0;
}

/* The additional section of a query: an OPT counts, other records are passed over. */
static int
read_additional(struct cursor *c, unsigned count, struct ap_dns_query *q)
{
	for (unsigned i = 0; i < count; i++) {
		char name[AP_DNS_NAME_MAX];
		struct record_head head;
		size_t len;
		int r = get_name(c, true, name, &len);

		if ((r < 0 && r != -EILSEQ) || get_record_head(c, &head) < 0)
			return AP_DNS_FORMERR;
		c->at += head.size;
		if (head.type != AP_DNS_OPT)
			continue;
		if (q->has_edns || len != 0)
			return AP_DNS_FORMERR;
		q->has_edns = true;
		q->udp_size = AP_MAX(head.class, (uint16_t)AP_DNS_UDP_SIZE);
		q->dnssec_ok = (head.ttl & 0x8000U) != 0;
		if ((head.ttl >> 16 & 0xff) != 0)
			return AP_DNS_BADVERS;
	}
	return 0;
}

int
ap_dns_query_decode(struct ap_slice message, struct ap_dns_query *out)
{
	struct ap_dns_query q = { .udp_size = AP_DNS_UDP_SIZE };
	struct cursor c = cursor_of(message);
	struct counts counts;
	uint16_t flags;
	int r = 0, name;

	if (get_head(&c, &q.id, &flags, &counts) < 0 || (flags & FLAG_QR) != 0)
		return -EBADMSG;
	q.opcode = (uint8_t)(flags >> 11 & 15);
	q.recursion_desired = (flags & FLAG_RD) != 0;
	q.checking_disabled = (flags & FLAG_CD) != 0;
	*out = q;
	if (q.opcode != 0)
		return AP_DNS_NOTIMP;
	if (counts.question != 1 || counts.answer != 0 || counts.authority != 0)
		return AP_DNS_FORMERR;
	name = get_name(&c, false, q.name, &q.name_len);
	if ((name < 0 && name != -EILSEQ) || get_u16(&c, &q.type) < 0 || get_u16(&c, &q.class) < 0)
		return AP_DNS_FORMERR;
	q.question_size = c.at - HEAD_SIZE;
	AP_CHECK(q.question_size <= sizeof(q.question));
	memcpy(q.question, c.bytes + HEAD_SIZE, q.question_size);
	r = read_additional(&c, counts.additional, &q);
	if (r == AP_DNS_FORMERR)
		return r;
	*out = q;
	if (r == 0 && name == -EILSEQ)
		return AP_DNS_REFUSED; /* a name that no host has */
	return r;
}

size_t
ap_dns_udp_limit(const struct ap_dns_query *q)
{
	return q->has_edns ? AP_MIN((size_t)q->udp_size, (size_t)AP_DNS_EDNS_SIZE) : AP_DNS_UDP_SIZE;
}

/* Append a name's wire form. -EINVAL: empty or too long labels. */
static int
put_name(struct ap_buf *out, struct ap_slice name)
{
	size_t start = out->len;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	while (name.ptr != NULL && name.len > 0) {
		struct ap_slice label = ap_slice_cut(&name, '.');

		if (label.len == 0 || label.len > 63 || (name.ptr != NULL && name.len == 0))
			return -EINVAL;
		ap_buf_add_u8(out, (uint8_t)label.len);
		ap_buf_add_slice(out, label);
	}
	ap_buf_add_u8(out, 0);
	return out->len - start > WIRE_NAME_MAX ? -EINVAL : 0;
}

/* What a record's owner can be a pointer to. */
struct names {
	struct ap_slice question, target;
	size_t target_at; /* offset in the message; 0: none */
};

static int
put_owner(struct ap_buf *out, const struct names *names, struct ap_slice owner)
{
	if (owner.len == 0 || ap_slice_eq_nocase(owner, names->question)) {
		ap_buf_add_u16(out, 0xc000 | HEAD_SIZE);
		return 0;
	}
	if (names->target_at > 0 && names->target_at < 0x3fff && ap_slice_eq_nocase(owner, names->target)) {
		ap_buf_add_u16(out, (uint16_t)(0xc000 | names->target_at));
		return 0;
	}
	return put_name(out, owner);
}

/* Append one record to the message that starts at `start` of out. */
static int
put_record(struct ap_buf *out, size_t start, struct names *names, const struct ap_dns_record *rec)
{
	size_t size_at, target_at;
	uint16_t size;
	int r;

	if ((r = put_owner(out, names, rec->name)) < 0)
		return r;
	ap_buf_add_u16(out, rec->type);
	ap_buf_add_u16(out, CLASS_IN);
	ap_buf_add_u32(out, rec->ttl);
	size_at = out->len;
	ap_buf_add_u16(out, 0);
	target_at = out->len - start;
	if (rec->type == AP_DNS_A && rec->ip.len == 4)
		ap_buf_add(out, rec->ip.bytes, 4);
	else if (rec->type == AP_DNS_AAAA && rec->ip.len == 16)
		ap_buf_add(out, rec->ip.bytes, 16);
	else if ((rec->type != AP_DNS_CNAME && rec->type != AP_DNS_PTR) || rec->target.len == 0 ||
		 put_name(out, rec->target) < 0)
		return -EINVAL;
	if (rec->target.len > 0) {
		names->target = rec->target;
		names->target_at = target_at;
	}
	if (out->bad)
		return 0;
	size = (uint16_t)(out->len - size_at - 2);
	out->ptr[size_at] = (char)(size >> 8);
	out->ptr[size_at + 1] = (char)size;
	return 0;
}

static void
put_opt(struct ap_buf *out, const struct ap_dns_query *q, unsigned rcode)
{
	ap_buf_add_u8(out, 0);
	ap_buf_add_u16(out, AP_DNS_OPT);
	ap_buf_add_u16(out, AP_DNS_EDNS_SIZE);
	ap_buf_add_u8(out, (uint8_t)(rcode >> 4));
	ap_buf_add_u8(out, 0);
	ap_buf_add_u16(out, q->dnssec_ok ? 0x8000 : 0);
	ap_buf_add_u16(out, 0);
}

static void
put_head(struct ap_buf *out, const struct ap_dns_query *q, const struct ap_dns_reply *reply)
{
	uint16_t flags = FLAG_QR;

	flags = (uint16_t)(flags | (unsigned)q->opcode << 11);
	if (reply->authoritative)
		flags |= FLAG_AA;
	if (q->recursion_desired)
		flags |= FLAG_RD;
	if (reply->recursion_available)
		flags |= FLAG_RA;
	if (q->checking_disabled)
		flags |= FLAG_CD;
	ap_buf_add_u16(out, q->id);
	ap_buf_add_u16(out, (uint16_t)(flags | (reply->rcode & 15)));
	ap_buf_add_u16(out, q->question_size > 0);
	ap_buf_add_u16(out, 0); /* answers, set at the end */
	ap_buf_add_u16(out, 0);
	ap_buf_add_u16(out, q->has_edns);
}

int
ap_dns_reply_encode(const struct ap_dns_query *q, const struct ap_dns_reply *reply, size_t limit, struct ap_buf *out)
{
	struct names names = { .question = ap_slice(q->name, q->name_len) };
	size_t reserve = q->has_edns ? OPT_SIZE : 0, start = out->len;
	bool truncated = false;
	size_t count = 0;

	if (limit < HEAD_SIZE + q->question_size + reserve)
		return -EINVAL;
	put_head(out, q, reply);
	ap_buf_add(out, q->question, q->question_size);
	while (count < reply->count && !truncated && count < UINT16_MAX) {
		size_t before = out->len;

		if (put_record(out, start, &names, &reply->records[count]) < 0) {
			out->len = start;
			return -EINVAL;
		}
		truncated = out->len - start > limit - reserve;
		if (truncated)
			out->len = before;
		else
			count++;
	}
	if (q->has_edns)
		put_opt(out, q, reply->rcode);
	if (out->bad)
		return -EINVAL;
	out->ptr[start + 2] = (char)(out->ptr[start + 2] | (truncated ? (char)(FLAG_TC >> 8) : 0));
	out->ptr[start + 6] = (char)(count >> 8);
	out->ptr[start + 7] = (char)count;
	return 0;
}

int
ap_dns_query_encode(uint16_t id, struct ap_slice name, uint16_t type, struct ap_buf *out)
{
	struct ap_dns_query q = { .id = id };
	size_t start = out->len;

	ap_buf_add_u16(out, id);
	ap_buf_add_u16(out, FLAG_RD);
	ap_buf_add_u16(out, 1);
	ap_buf_add_u16(out, 0);
	ap_buf_add_u16(out, 0);
	ap_buf_add_u16(out, 1);
	if (put_name(out, name) < 0) {
		out->len = start;
		return -EINVAL;
	}
	ap_buf_add_u16(out, type);
	ap_buf_add_u16(out, CLASS_IN);
	put_opt(out, &q, 0);
	return out->bad ? -EINVAL : 0;
}

int
ap_dns_head_decode(struct ap_slice message, struct ap_dns_head *out)
{
	struct cursor c = cursor_of(message);
	struct counts counts;
	uint16_t id, flags;

	if (get_head(&c, &id, &flags, &counts) < 0)
		return -EBADMSG;
	*out = (struct ap_dns_head){
		.id = id,
		.is_response = (flags & FLAG_QR) != 0,
		.is_truncated = (flags & FLAG_TC) != 0,
		.rcode = (uint8_t)(flags & 15),
	};
	return 0;
}

struct question {
	char name[AP_DNS_NAME_MAX];
	size_t len;
	uint16_t type, class;
};

static int
get_question(struct cursor *c, struct question *q)
{
	int r = get_name(c, false, q->name, &q->len);

	if ((r < 0 && r != -EILSEQ) || get_u16(c, &q->type) < 0 || get_u16(c, &q->class) < 0)
		return -EBADMSG;
	return 0;
}

bool
ap_dns_answers(struct ap_slice response, struct ap_slice query)
{
	struct cursor a = cursor_of(response), b = cursor_of(query);
	struct counts in_a, in_b;
	struct question x, y;
	uint16_t id, flags;

	if (get_head(&a, &id, &flags, &in_a) < 0 || (flags & FLAG_QR) == 0 || get_head(&b, &id, &flags, &in_b) < 0 ||
	    in_a.question != 1 || in_b.question != 1 || get_question(&a, &x) < 0 || get_question(&b, &y) < 0)
		return false;
	return x.type == y.type && x.class == y.class && ap_slice_eq(ap_slice(x.name, x.len), ap_slice(y.name, y.len));
}

/* Read one answer; *known: it is of a type that is told. */
static int
get_answer(
    struct cursor *c, char name[AP_DNS_NAME_MAX], char target[AP_DNS_NAME_MAX], struct ap_dns_record *rec, bool *known)
{
	struct record_head head;
	size_t name_len, target_len, end;
	int r = get_name(c, true, name, &name_len);

	if ((r < 0 && r != -EILSEQ) || get_record_head(c, &head) < 0)
		return -EBADMSG;
	end = c->at + head.size;
	*rec = (struct ap_dns_record){ .type = head.type, .name = ap_slice(name, name_len), .ttl = head.ttl };
	*known = r == 0 && head.class == CLASS_IN;
	switch (head.type) {
	case AP_DNS_A:
	case AP_DNS_AAAA:
		if (head.size != (head.type == AP_DNS_A ? 4 : 16))
			return -EBADMSG;
		memcpy(rec->ip.bytes, c->bytes + c->at, head.size);
		rec->ip.len = (uint8_t)head.size;
		break;
	case AP_DNS_CNAME:
	case AP_DNS_PTR:
		r = get_name(c, true, target, &target_len);
		if ((r < 0 && r != -EILSEQ) || c->at != end)
			return -EBADMSG;
		*known = *known && r == 0;
		rec->target = ap_slice(target, target_len);
		break;
	default:
		*known = false;
		break;
	}
	c->at = end;
	return 0;
}

int
ap_dns_response_walk(struct ap_slice message, void (*fn)(void *arg, const struct ap_dns_record *record), void *arg)
{
	struct cursor c = cursor_of(message);
	struct counts counts;
	uint16_t id, flags;

	if (get_head(&c, &id, &flags, &counts) < 0 || (flags & FLAG_QR) == 0)
		return -EBADMSG;
	for (unsigned i = 0; i < counts.question; i++) {
		struct question q;

		if (get_question(&c, &q) < 0)
			return -EBADMSG;
	}
	for (unsigned i = 0; i < counts.answer; i++) {
		char name[AP_DNS_NAME_MAX], target[AP_DNS_NAME_MAX];
		struct ap_dns_record rec;
		bool known;

		if (get_answer(&c, name, target, &rec, &known) < 0)
			return -EBADMSG;
		if (known)
			fn(arg, &rec);
	}
	return 0;
}
