/* b64.h -- base64 (RFC 4648, standard and URL alphabets) and hex. */
#ifndef BASE_B64_H
#define BASE_B64_H
#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

AP_PUBLIC_BEGIN
void ap_b64_encode(struct ap_slice in, struct ap_buf *out);      /* padded */
void ap_b64url_encode(struct ap_slice in, struct ap_buf *out);   /* no padding */
int ap_b64_decode(struct ap_slice in, struct ap_buf *out);       /* both alphabets, padding optional; 0 or -EINVAL */
void ap_hex_encode(struct ap_slice in, struct ap_buf *out);      /* lower case */
int ap_hex_decode(struct ap_slice in, struct ap_buf *out);
AP_PUBLIC_END

#endif
