/* identity_priv.h -- what identity.c, identity_make.c and identity_view.c share. */
#ifndef MESH_IDENTITY_PRIV_H
#define MESH_IDENTITY_PRIV_H
#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "event/loop.h"
#include "mesh/ca_client.h"
#include "mesh/identity.h"

#define IDENTITY_MAGIC AP_MAGIC('I', 'D', 'N', 'T')
#define STORE_MAGIC AP_MAGIC('I', 'D', 'S', 'T')
#define IDENTITY_PEM_MAX ((size_t)256 * 1024)

struct identity_task;

/* One wanted identity. */
struct identity_entry {
	struct ap_identity_store *store;
	char *spiffe;
	struct ap_identity *current; /* NULL: none yet */
	struct identity_task *task;  /* key or context being made on a job thread */
	struct ap_ca_call *call;
	struct ap_buf next_key;      /* of the request in flight */
	struct ap_buf key;           /* of `current`; the host's alone, for contexts to 15012 */
	struct ap_timer timer;       /* next renewal or next try */
	struct ap_timer expiry;
	unsigned failures;
	char error[400];
	bool is_host, is_waiting; /* waiting: for the host's own certificate */
};

struct ap_identity_store {
	uint32_t magic;
	struct ap_identity_settings set;
	char *folder, *ca_file, *token_file, *trust_domain;
	struct ap_ca_client *ca;
	struct ap_tls *tls; /* for 15012, of the present host certificate; NULL: to be made */
	struct identity_entry *host;
	struct ap_map entries; /* spiffe -> entry */
	struct ap_list views;
	uint64_t generation;
};

struct ap_identity_view {
	uint32_t magic;
	struct ap_list link; /* main thread */
	struct ap_worker *worker;
	struct ap_map by_spiffe, by_sni; /* -> ap_identity; the first holds the reference */
	void (*changed)(void *arg, const struct ap_identity *id);
	void *arg;
};

/* What a job makes: a key with its request, or an identity from its parts. One of the two. */
struct identity_made {
	struct ap_buf key, csr;
	struct ap_identity *id;
	struct ap_error err; /* code != 0: failed */
};

/* identity_make.c: any thread. */
struct ap_identity *identity_make(struct ap_slice spiffe, struct ap_slice key_pem, struct ap_slice chain_pem,
    struct ap_slice roots_pem, uint64_t generation, struct ap_error *err);
/* Key, chain and roots in one file, so that they are of one piece. */
int identity_save(const char *folder, struct ap_slice spiffe, struct ap_slice key_pem, struct ap_slice chain_pem,
    struct ap_slice roots_pem, struct ap_error *err);
/* Key and identity of the file; -ENOENT when there is none, -ETIME when it expired. Blocks. */
int identity_load(const char *folder, struct ap_slice spiffe, struct ap_buf *out_key, struct ap_identity **out,
    struct ap_error *err);

/* identity_view.c: main thread. Tell every view; id NULL: drop. */
void identity_publish(struct ap_identity_store *s, const char *spiffe, struct ap_identity *id);

#endif
