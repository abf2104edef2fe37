/*
 * x509_read.c -- what a certificate says: times, names, fingerprint; and the strict form of a SPIFFE id.
 * Pure functions on memory; any thread.  Certificates come from strangers: nothing in them is trusted to be well formed.
 */
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/b64.h"
#include "net/tls_priv.h"
#include "net/x509_priv.h"

#define URIS_MAX 64

size_t
ap_x509_uris(X509 *cert, struct ap_slice *out, size_t max, GENERAL_NAMES **out_names)
{
	GENERAL_NAMES *names = cert == NULL ? NULL : X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t count = 0;

	*out_names = names;
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && count < max; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		union {
			const unsigned char *in;
			const char *out;
		} u;
		size_t len;

		if (name->type != GEN_URI)
			continue;
		u.in = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		len = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
		/* "spiffe://good\0.evil" must not be taken for its first half. */
		if (memchr(u.out, '\0', len) == NULL)
			out[count++] = (struct ap_slice){ .ptr = u.out, .len = len };
	}
	return count;
}

/* Days since 1970-01-01 of a civil date (proleptic Gregorian), so that neither timegm nor a locale is needed. */
static int64_t
days_of(int64_t y, int64_t m, int64_t d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool
unix_time(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = days_of(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) * 86400 + tm.tm_hour * 3600 + tm.tm_min * 60 +
	       tm.tm_sec;
	return true;
}

static bool
serial_hex(const X509 *cert, char *out, size_t size)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	const unsigned char *bytes = ASN1_STRING_get0_data(serial);
	int count = ASN1_STRING_length(serial);
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	if (count <= 0 || (size_t)count * 2 >= size)
		return false;
	for (int i = 0; i < count; i++) {
		out[n++] = digits[bytes[i] >> 4];
		out[n++] = digits[bytes[i] & 15];
	}
	out[n] = '\0';
	return true;
}

static int
read_cert(X509 *cert, struct ap_arena *arena, struct ap_cert_info *out, struct ap_error *err)
{
	struct ap_slice uris[URIS_MAX];
	struct ap_cert_info info = { .is_ca = X509_check_ca(cert) == 1 };
	GENERAL_NAMES *names;

	if (!unix_time(X509_get0_notBefore(cert), &info.not_before) ||
	    !unix_time(X509_get0_notAfter(cert), &info.not_after))
		return ap_error_set(err, -EINVAL, "certificate: its times cannot be read");
	if (!serial_hex(cert, info.serial, sizeof(info.serial)))
		return ap_error_set(err, -EINVAL, "certificate: its serial number is too long");
	info.uri_count = ap_x509_uris(cert, uris, URIS_MAX, &names);
	info.uris = ap_arena_zalloc(arena, (info.uri_count + 1) * sizeof(*info.uris));
	for (size_t i = 0; info.uris != NULL && i < info.uri_count; i++)
		info.uris[i] = ap_arena_copy(arena, uris[i]);
	GENERAL_NAMES_free(names);
	if (ap_arena_is_full(arena))
		return ap_error_set(err, -EFBIG, "certificate: its names are too long");
	*out = info;
	return 0;
}

int
ap_cert_read(struct ap_slice pem, struct ap_arena *arena, struct ap_cert_info *out, struct ap_error *err)
{
	X509 *cert = ap_x509_certificate(pem, err);
	int rc;

	if (cert == NULL)
		return -EINVAL;
	rc = read_cert(cert, arena, out, err);
	X509_free(cert);
	ERR_clear_error();
	return rc;
}

int
ap_cert_read_der(struct ap_slice der, struct ap_arena *arena, struct ap_cert_info *out, struct ap_error *err)
{
	union {
		const char *in;
		const unsigned char *out;
	} u = { .in = der.ptr };
	X509 *cert;
	int rc;

	ERR_clear_error();
	cert = der.len == 0 || der.len > INT_MAX ? NULL : d2i_X509(NULL, &u.out, (long)der.len);
	if (cert == NULL)
		return ap_x509_fail(err, "certificate");
	rc = read_cert(cert, arena, out, err);
	X509_free(cert);
	ERR_clear_error();
	return rc;
}

int
ap_cert_fingerprint(struct ap_slice pem, struct ap_buf *out, struct ap_error *err)
{
	X509 *cert = ap_x509_certificate(pem, err);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	int rc;

	if (cert == NULL)
		return -EINVAL;
	rc = X509_digest(cert, EVP_sha256(), digest, &size) == 1 ? 0 : ap_x509_fail(err, "fingerprint");
	if (rc == 0)
		ap_hex_encode(ap_slice((const char *)digest, size), out);
	X509_free(cert);
	return rc;
}

/* A part of a SPIFFE id: letters, digits, dot, dash, underscore (SPIFFE-ID 2.2), not empty, not a dot segment. */
static bool
is_part(struct ap_slice s, bool is_domain)
{
	if (s.len == 0 || s.len > 255)
		return false;
	if (!is_domain && (ap_slice_eq_text(s, ".") || ap_slice_eq_text(s, "..")))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool letter = (c >= 'a' && c <= 'z') || (!is_domain && c >= 'A' && c <= 'Z');

		if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_')
			return false;
	}
	return true;
}

bool
ap_spiffe_parse(struct ap_slice uri, struct ap_slice *out_trust_domain, struct ap_slice *out_namespace,
    struct ap_slice *out_account)
{
	struct ap_slice rest = uri, part[5];
	size_t count = 0;

	if (uri.len > 2048 || !ap_slice_starts(uri, AP_S("spiffe://")))
		return false;
	rest = ap_slice_from(uri, sizeof("spiffe://") - 1);
	while (rest.ptr != NULL) {
		struct ap_slice p = ap_slice_cut(&rest, '/');

		if (count == 5 || !is_part(p, count == 0))
			return false;
		part[count++] = p;
	}
	if (count != 5 || !ap_slice_eq_text(part[1], "ns") || !ap_slice_eq_text(part[3], "sa"))
		return false;
	*out_trust_domain = part[0];
	*out_namespace = part[2];
	*out_account = part[4];
	return true;
}
