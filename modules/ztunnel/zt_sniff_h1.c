/*
 * zt_sniff_h1.c -- HTTP/1 in passing.  Each direction is a small machine over bytes: of a head it reads the first line and the
 * two fields that say where the message ends, the rest of each line is skipped at the speed of memchr, and bodies are
 * skipped by their length.  Requests wait in a short queue for their answers, so pipelining is followed; a longer queue, a
 * field that two readers might understand differently, or a switch of protocols ends the watching.
 */
#include <string.h>

#include "base/compiler.h"
#include "ztunnel/zt_sniff_priv.h"

#define HEAD_MAX 65536U
#define TRAILERS_MAX 65536U
#define EXTENSION_MAX 200U
#define METHOD_MAX 20U
#define LENGTH_MAX (UINT64_C(1) << 60)
#define TICK_SHIFT 6

enum state { /* in the order of handlers[] */
	BETWEEN,    /* messages */
	METHOD,     /* request */
	TARGET,     /* request: up to the end of the line */
	STATUS,     /* answer: up to the code's last digit */
	LINE,       /* at the beginning of a field */
	NAME,       /* a field that may be one of ours */
	SKIP,       /* the rest of a line of the head */
	LENGTH,     /* value of Content-Length */
	CODING,     /* value of Transfer-Encoding */
	HEAD_END,   /* the LF of the empty line */
	BODY,
	CHUNK,      /* the size of a chunk */
	EXTENSION,  /* the rest of its line */
	DATA,       /* the chunk */
	DATA_END,   /* the line end behind it */
	TRAILER,    /* at the beginning of a trailer, or of the empty line */
	TRAILER_SKIP,
	TRAILER_END,
	TO_CLOSE,
};

enum { HAS_LENGTH = 1, IS_CHUNKED = 2 };
enum method { ANY, HEAD, CONNECT };

enum step { GO, ODD, HEAD_DONE, MESSAGE_DONE };

typedef enum step (*handler)(struct h1_half *h, const uint8_t **p, const uint8_t *end);

static void
enter(struct h1_half *h, enum state state)
{
	h->state = (uint8_t)state;
	h->at = 0;
}

static uint8_t
lower(uint8_t b)
{
	return b >= 'A' && b <= 'Z' ? (uint8_t)(b | 0x20) : b;
}

/* The request's first line. */

static enum step
on_method(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	static const char *const texts[] = { [HEAD] = "HEAD", [CONNECT] = "CONNECT" };

	for (; *p < end; (*p)++) {
		uint8_t b = **p;

		if (b == ' ' && h->at > 0) {
			/* A prefix of a known method is another method. */
			if (h->match != ANY && texts[h->match][h->at] != '\0')
				h->match = ANY;
			(*p)++;
			enter(h, TARGET);
			return GO;
		}
		if ((b < 'A' || b > 'Z') && b != '-')
			return ODD;
		if (h->at == 0)
			h->match = b == 'H' ? HEAD : b == 'C' ? CONNECT : ANY;
		else if (h->match != ANY && (uint8_t)texts[h->match][h->at] != b)
			h->match = ANY;
		if (++h->at > METHOD_MAX)
			return ODD;
	}
	return GO;
}

/* Only the end of the line matters: " HTTP/1." and a digit. */
static enum step
on_target(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	static const char tail[] = " HTTP/1.";
	const uint8_t digit = sizeof(tail) - 1, cr = digit + 1, lf = cr + 1;

	for (; *p < end; (*p)++) {
		uint8_t b = **p;

		if (h->at == 0 && b > ' ')
			continue;
		if (h->at < digit && b == (uint8_t)tail[h->at])
			h->at++;
		else if (h->at == digit && (b == '0' || b == '1'))
			h->at = cr;
		else if (h->at == cr && b == '\r')
			h->at = lf;
		else if (h->at >= cr && b == '\n') {
			(*p)++;
			enter(h, LINE);
			return GO;
		} else if (b < ' ' || h->at == lf)
			return ODD;
		else
			h->at = b == ' ' ? 1 : 0;
	}
	return GO;
}

/* The answer's: "HTTP/1.x NNN", then a reason that nobody needs. */
static enum step
on_status(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	static const char text[] = "HTTP/1.x ";
	const uint8_t code = sizeof(text) - 1, behind = code + 3;

	for (; *p < end; (*p)++) {
		uint8_t b = **p;

		if (h->at == behind) {
			if ((b != ' ' && b != '\r' && b != '\n') || h->status < 100)
				return ODD;
			enter(h, SKIP);
			return GO;
		}
		if (h->at >= code) {
			if (b < '0' || b > '9')
				return ODD;
			h->status = (uint16_t)((h->at == code ? 0 : h->status * 10) + (b - '0'));
		} else if (text[h->at] == 'x' ? b != '0' && b != '1' : b != (uint8_t)text[h->at]) {
			return ODD;
		}
		h->at++;
	}
	return GO;
}

/* Fields. */

static const char *const names[] = { "content-length:", "transfer-encoding:" };

static enum step
on_line(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	uint8_t b = *(*p)++;

	(void)end;
	switch (b) {
	case '\r':
		enter(h, HEAD_END);
		return GO;
	case '\n':
		return HEAD_DONE;
	case ' ':
	case '\t': /* a folded line: who knows of which field */
	case ':':
		return ODD;
	case 'c':
	case 'C':
	case 't':
	case 'T':
		h->match = lower(b) == 't';
		enter(h, NAME);
		h->at = 1;
		return GO;
	default:
		(*p)--;
		enter(h, SKIP);
		return GO;
	}
}

static enum step
on_name(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	const char *name = names[h->match];

	for (; *p < end; (*p)++) {
		if (lower(**p) != (uint8_t)name[h->at]) {
			/* Space before the colon is how requests are smuggled. */
			if (name[h->at] == ':' && (**p == ' ' || **p == '\t'))
				return ODD;
			enter(h, SKIP);
			return GO;
		}
		if (name[++h->at] == '\0') {
			(*p)++;
			if ((h->flags & (HAS_LENGTH | IS_CHUNKED)) != 0)
				return ODD;
			h->left = 0;
			h->flags |= h->match == 0 ? HAS_LENGTH : IS_CHUNKED;
			enter(h, h->match == 0 ? LENGTH : CODING);
			return GO;
		}
	}
	return GO;
}

static enum step
on_skip(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *lf = memchr(*p, '\n', (size_t)(end - *p));

	*p = lf == NULL ? end : lf + 1;
	if (lf != NULL)
		enter(h, LINE);
	return GO;
}

/* at: 0 before the digits, 1 among them, 2 behind. */
static enum step
on_length(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	for (; *p < end; (*p)++) {
		uint8_t b = **p;

		if (b >= '0' && b <= '9' && h->at < 2) {
			h->left = h->left * 10 + (uint64_t)(b - '0');
			h->at = 1;
			if (h->left > LENGTH_MAX)
				return ODD;
		} else if (b == '\n' && h->at > 0) {
			(*p)++;
			enter(h, LINE);
			return GO;
		} else if (b == ' ' || b == '\t' || (b == '\r' && h->at > 0)) {
			h->at = h->at > 0 ? 2 : 0;
		} else {
			return ODD;
		}
	}
	return GO;
}

static enum step
on_coding(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	static const char text[] = "chunked";
	const uint8_t behind = sizeof(text) - 1;

	for (; *p < end; (*p)++) {
		uint8_t b = **p;

		if (h->at < behind && lower(b) == (uint8_t)text[h->at]) {
			h->at++;
		} else if (b == '\n' && h->at == behind) {
			(*p)++;
			enter(h, LINE);
			return GO;
		} else if (!((b == ' ' || b == '\t') && (h->at == 0 || h->at == behind)) && !(b == '\r' && h->at == behind)) {
			return ODD;
		}
	}
	return GO;
}

static enum step
on_head_end(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	(void)h;
	(void)end;
	return *(*p)++ == '\n' ? HEAD_DONE : ODD;
}

/* Bodies. */

static bool
skip_left(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	uint64_t n = AP_MIN(h->left, (uint64_t)(end - *p));

	*p += n;
	h->left -= n;
	return h->left == 0;
}

static enum step
on_body(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	return skip_left(h, p, end) ? MESSAGE_DONE : GO;
}

static int
hex(uint8_t b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b = lower(b);
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static enum step
on_chunk(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	for (; *p < end; (*p)++) {
		int digit = hex(**p);

		if (digit < 0) {
			if (h->at == 0 || (**p != ';' && **p != ' ' && **p != '\t' && **p != '\r' && **p != '\n'))
				return ODD;
			enter(h, EXTENSION);
			return GO;
		}
		if (++h->at > 15)
			return ODD;
		h->left = h->left << 4 | (uint64_t)digit;
	}
	return GO;
}

static enum step
on_extension(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	for (; *p < end; (*p)++) {
		if (**p == '\n') {
			(*p)++;
			enter(h, h->left > 0 ? DATA : TRAILER);
			return GO;
		}
		if (++h->at > EXTENSION_MAX)
			return ODD;
	}
	return GO;
}

static enum step
on_data(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	if (skip_left(h, p, end))
		enter(h, DATA_END);
	return GO;
}

static enum step
on_data_end(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	uint8_t b = *(*p)++;

	(void)end;
	if (b == '\n') {
		enter(h, CHUNK);
		return GO;
	}
	return b == '\r' && h->at++ == 0 ? GO : ODD;
}

static enum step
on_trailer(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	uint8_t b = **p;

	(void)end;
	if (b == '\n') {
		(*p)++;
		return MESSAGE_DONE;
	}
	if (b == '\r') {
		(*p)++;
		enter(h, TRAILER_END);
		return GO;
	}
	enter(h, TRAILER_SKIP);
	return GO;
}

static enum step
on_trailer_skip(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *from = *p, *lf = memchr(from, '\n', (size_t)(end - from));

	*p = lf == NULL ? end : lf + 1;
	h->left += (uint64_t)(*p - from);
	if (h->left > TRAILERS_MAX)
		return ODD;
	if (lf != NULL)
		enter(h, TRAILER);
	return GO;
}

static enum step
on_trailer_end(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	(void)h;
	(void)end;
	return *(*p)++ == '\n' ? MESSAGE_DONE : ODD;
}

static enum step
on_to_close(struct h1_half *h, const uint8_t **p, const uint8_t *end)
{
	(void)h;
	*p = end;
	return GO;
}

static const handler handlers[] = {
	[METHOD] = on_method,
	[TARGET] = on_target,
	[STATUS] = on_status,
	[LINE] = on_line,
	[NAME] = on_name,
	[SKIP] = on_skip,
	[LENGTH] = on_length,
	[CODING] = on_coding,
	[HEAD_END] = on_head_end,
	[BODY] = on_body,
	[CHUNK] = on_chunk,
	[EXTENSION] = on_extension,
	[DATA] = on_data,
	[DATA_END] = on_data_end,
	[TRAILER] = on_trailer,
	[TRAILER_SKIP] = on_trailer_skip,
	[TRAILER_END] = on_trailer_end,
	[TO_CLOSE] = on_to_close,
};

/* Messages. */

static uint32_t
ticks(const struct zt_sniff_call *call)
{
	return (uint32_t)(call->now_us >> TICK_SHIFT);
}

/* The answer to the oldest request is over. */
static void
answer(struct h1 *h, const struct zt_sniff_call *call)
{
	struct h1_half *client = &h->half[ZT_SNIFF_CLIENT], *server = &h->half[ZT_SNIFF_SERVER];
	struct zt_sniff_request r = { .status = server->status, .grpc_status = -1, .response_bytes = server->size };
	bool is_on_its_way = h->count == 1 && client->state != BETWEEN && !h->answered;

	r.request_bytes = is_on_its_way ? client->size : h->queue[h->first].bytes;
	r.duration_us = (uint64_t)(ticks(call) - h->queue[h->first].start) << TICK_SHIFT;
	h->answered |= is_on_its_way;
	h->first = (uint8_t)((h->first + 1U) % H1_QUEUE);
	h->count--;
	server->size = 0;
	server->flags = 0;
	enter(server, BETWEEN);
	call->fn(&r, call->arg);
}

static void
end_request(struct h1 *h)
{
	struct h1_half *c = &h->half[ZT_SNIFF_CLIENT];

	if (!h->answered)
		h->queue[(h->first + h->count - 1U) % H1_QUEUE].bytes = c->size;
	enter(c, BETWEEN);
}

/* False: too many requests wait. */
static bool
begin_request(struct h1 *h, const struct zt_sniff_call *call)
{
	struct h1_half *c = &h->half[ZT_SNIFF_CLIENT];
	unsigned place = (h->first + h->count) % H1_QUEUE;

	if (h->count == H1_QUEUE)
		return false;
	h->count++;
	h->answered = false;
	h->queue[place].start = ticks(call);
	h->queue[place].bytes = 0;
	h->is_head &= (uint8_t) ~(1U << place);
	h->is_connect &= (uint8_t) ~(1U << place);
	c->size = 0;
	c->flags = 0;
	enter(c, METHOD);
	return true;
}

static bool
end_request_head(struct h1 *h)
{
	struct h1_half *c = &h->half[ZT_SNIFF_CLIENT];

	if ((c->flags & IS_CHUNKED) != 0) {
		c->left = 0;
		enter(c, CHUNK);
	} else if ((c->flags & HAS_LENGTH) != 0 && c->left > 0) {
		enter(c, BODY);
	} else {
		end_request(h);
	}
	return true;
}

/* Where does the answer end? False: here, and what follows is no HTTP/1. */
static bool
end_answer_head(struct h1 *h, const struct zt_sniff_call *call)
{
	struct h1_half *s = &h->half[ZT_SNIFF_SERVER];
	unsigned bit = 1U << h->first;

	if (s->status == 101 || ((h->is_connect & bit) != 0 && s->status / 100 == 2)) {
		answer(h, call);
		return false;
	}
	if (s->status < 200) {
		s->flags = 0;
		enter(s, STATUS);
	} else if ((h->is_head & bit) != 0 || s->status == 204 || s->status == 304) {
		answer(h, call);
	} else if ((s->flags & IS_CHUNKED) != 0) {
		s->left = 0;
		enter(s, CHUNK);
	} else if ((s->flags & HAS_LENGTH) == 0) {
		enter(s, TO_CLOSE);
	} else if (s->left > 0) {
		enter(s, BODY);
	} else {
		answer(h, call);
	}
	return true;
}

/* Between messages: the first byte of the next one. */
static bool
begin(struct h1 *h, enum zt_sniff_side side, const uint8_t **p, const struct zt_sniff_call *call)
{
	if (side == ZT_SNIFF_SERVER) {
		enter(&h->half[side], STATUS);
		return h->count > 0; /* nobody asked */
	}
	if (**p == '\r' || **p == '\n') { /* some put an empty line behind a body */
		(*p)++;
		return true;
	}
	return begin_request(h, call);
}

/* What a client's method means for the answer must be known before its head is complete: the answer may come earlier. */
static void
note_method(struct h1 *h)
{
	uint8_t *bits = h->half[ZT_SNIFF_CLIENT].match == HEAD ? &h->is_head : &h->is_connect;

	if (h->half[ZT_SNIFF_CLIENT].match != ANY)
		*bits |= (uint8_t)(1U << (h->first + h->count - 1U) % H1_QUEUE);
}

static bool
conclude(struct h1 *h, enum zt_sniff_side side, enum step step, const struct zt_sniff_call *call)
{
	switch (step) {
	case GO:
		return true;
	case HEAD_DONE:
		return side == ZT_SNIFF_CLIENT ? end_request_head(h) : end_answer_head(h, call);
	case MESSAGE_DONE:
		if (side == ZT_SNIFF_CLIENT)
			end_request(h);
		else
			answer(h, call);
		return true;
	case ODD:
	default:
		return false;
	}
}

bool
zt_sniff_h1_feed(
    struct h1 *h, enum zt_sniff_side side, const uint8_t *p, const uint8_t *end, const struct zt_sniff_call *call)
{
	struct h1_half *half = &h->half[side];

	while (p < end) {
		const uint8_t *from = p;
		uint8_t before = half->state;
		enum step step;

		if (before == BETWEEN) {
			if (!begin(h, side, &p, call))
				return false;
			continue;
		}
		step = handlers[before](half, &p, end);
		half->size += (uint32_t)AP_MIN((uint64_t)(p - from), (uint64_t)(UINT32_MAX - half->size));
		if (before < BODY && half->size > HEAD_MAX)
			return false;
		if (before == METHOD && half->state == TARGET && !h->answered)
			note_method(h);
		if (!conclude(h, side, step, call))
			return false;
	}
	return true;
}

void
zt_sniff_h1_finish(struct h1 *h, const struct zt_sniff_call *call)
{
	/* Behind its head: it lasts until now, or was cut. */
	if (h->count > 0 && h->half[ZT_SNIFF_SERVER].state >= BODY)
		answer(h, call);
}
