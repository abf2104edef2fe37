/*
 * block.h -- blocks of bytes for what cannot be passed on at once: an output block per busy connection, input that nobody
 * has read yet.  Kept per thread in a short list when free, so that a busy worker does not allocate and an idle one holds little.
 */
#ifndef HTTP_BLOCK_H
#define HTTP_BLOCK_H
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define AP_BLOCK_SMALL ((size_t)16 * 1024)
#define AP_BLOCK_LARGE ((size_t)68 * 1024)

struct ap_block {
	struct ap_block *next;
	uint32_t start, end, room;
	char bytes[];
};

struct ap_block *ap_block_new(size_t size); /* room for at least that much; AP_BLOCK_SMALL and _LARGE are kept */
void ap_block_free(struct ap_block *b);
/* Let this thread's free blocks go. */
void ap_block_trim(void);

#endif
