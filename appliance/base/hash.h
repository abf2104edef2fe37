/* hash.h -- SipHash-2-4 with a per-process key, for tables that strangers can fill; FNV-1a for stable fingerprints. */
#ifndef BASE_HASH_H
#define BASE_HASH_H
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

AP_PUBLIC_BEGIN
/* Under a given key; ap_hash is this under the key of the process. */
uint64_t ap_hash_sip(const uint64_t key[2], const void *bytes, size_t size);
uint64_t ap_hash(const void *bytes, size_t size);
/* The same everywhere and always. */
uint64_t ap_hash_fnv(const void *bytes, size_t size);
AP_PUBLIC_END

#endif
