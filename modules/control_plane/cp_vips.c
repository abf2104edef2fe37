/*
 * cp_vips.c -- virtual addresses.
 *
 * An address is found by the hash of the service's key, then upwards until one is free: even when every status were lost,
 * most services would get the address that they had.  Pure but for its own map.
 */
#include "control_plane/cp_vips.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct cp_vips {
	struct ap_cidr cidr;
	struct ap_map given; /* key -> text */
};

struct cp_vips *
cp_vips_new(struct ap_slice cidr, struct ap_error *err)
{
	struct cp_vips *v = ap_new(struct cp_vips);
	if (cidr.len == 0)
		cidr = AP_S("240.240.0.0/16");
	if (ap_cidr_parse(cidr, &v->cidr) != 0 || v->cidr.ip.len != 4 || v->cidr.bits > 28) {
		ap_error_set(err, -EINVAL, "\"%.*s\" is no IPv4 range of at least 16 addresses for virtual addresses", AP_FMT(cidr));
		ap_free(&v);
	}
	return v;
}

void
cp_vips_free(struct cp_vips **v)
{
	if (*v == NULL)
		return;
	ap_map_done(&(*v)->given, ap_mem_free);
	ap_free(v);
}

const struct ap_map *
cp_vips_map(const struct cp_vips *v)
{
	return &v->given;
}

static struct ap_slice
bytes_of(const struct ap_ip *ip)
{
	return ap_slice((const char *)ip->bytes, ip->len);
}

static struct ap_ip
address_at(const struct cp_vips *v, uint32_t index)
{
	struct ap_ip ip = v->cidr.ip;
	uint32_t base = (uint32_t)ip.bytes[0] << 24 | (uint32_t)ip.bytes[1] << 16 | (uint32_t)ip.bytes[2] << 8 | ip.bytes[3];
	base += index;
	for (unsigned i = 0; i < 4; i++)
		ip.bytes[i] = (uint8_t)(base >> (24 - 8 * i));
	return ip;
}

static bool
give(struct cp_vips *v, struct ap_map *used, const struct ap_reg_service *s)
{
	uint32_t size = 1U << (32 - v->cidr.bits);
	uint32_t usable = size - 2; /* neither the first nor the last */
	uint32_t start = (uint32_t)(ap_hash_fnv(s->key.ptr, s->key.len) % usable);
	for (uint32_t i = 0; i < usable; i++) {
		struct ap_ip ip = address_at(v, 1 + (start + i) % usable);
		char text[AP_ADDR_TEXT];
		if (ap_map_has(used, bytes_of(&ip)))
			continue;
		ap_map_put(used, bytes_of(&ip), v);
		char *old = ap_map_put(&v->given, s->key, ap_strdup(ap_ip_format(&ip, text, sizeof(text))));
		ap_free(&old);
		return true;
	}
	return false;
}

bool
cp_vips_assign(struct cp_vips *v, const struct ap_registry *r)
{
	struct ap_map used = { 0 };
	bool any = false;
	for (size_t i = 0; i < r->service_count; i++) {
		const struct ap_reg_service *s = r->services[i];
		for (size_t k = 0; k < s->address_count; k++)
			if (ap_cidr_has(&v->cidr, &s->addresses[k].ip))
				ap_map_put(&used, bytes_of(&s->addresses[k].ip), v);
	}
	for (size_t i = 0; i < r->service_count; i++) {
		const struct ap_reg_service *s = r->services[i];
		if (s->needs_vip && s->address_count == 0)
			any = give(v, &used, s) || any;
		else if (s->needs_vip && !ap_map_has(&v->given, s->key)) {
			/* Known from its status: hold it, so that a status that gets lost does not move it. */
			char text[AP_ADDR_TEXT];
			ap_map_put(&v->given, s->key, ap_strdup(ap_ip_format(&s->addresses[0].ip, text, sizeof(text))));
		}
	}
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(&v->given, &i)) != NULL;) {
		const struct ap_reg_service *s = ap_map_find(&r->by_key, e->key);
		if (s == NULL || !s->needs_vip) {
			char *old = ap_map_remove(&v->given, e->key);
			ap_free(&old);
		}
	}
	ap_map_done(&used, NULL);
	return any;
}
