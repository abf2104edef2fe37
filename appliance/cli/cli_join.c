/*
 * cli_join.c -- "ambit join": make this host a member.  Fetches the mesh's root from the control plane, trusts it only when its
 * fingerprint is the one that was given, and writes the three files that a ztunnel needs.  Tokens come from a file or standard
 * input, never from an argument, where every user of the machine could read them.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/b64.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/commands.h"

#define TOKEN_CEILING ((size_t)4096)
#define PEM_CEILING ((size_t)262144)

struct join {
	const char *server, *token_file, *ca_file, *fingerprint, *name, *folder, *state_dir;
	bool force;
	char own_name[256];
};

static int
read_token(const struct join *j, struct ap_buf *out, struct ap_error *err)
{
	const char *path = strcmp(j->token_file, "-") == 0 ? "/dev/stdin" : j->token_file;

	if (ap_file_read(path, out, err) != 0)
		return err->code;
	while (out->len > 0 && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == ' '))
		out->ptr[--out->len] = '\0';
	if (!ap_slice_starts(ap_buf_slice(out), AP_S("ambit1.")))
		return ap_error_set(err, -EINVAL, "what stands in %s is no join token; 'ambit token create' makes one.", j->token_file);
	return 0;
}

/* SHA-256 in hex, without what people put between the digits. */
static bool
is_fingerprint(X509 *cert, const char *wanted)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char plain[65] = "";
	struct ap_buf hex;
	unsigned size = 0;
	size_t n = 0;
	bool same;

	for (; *wanted != '\0' && n < 64; wanted++) {
		if (strchr(": ", *wanted) == NULL)
			plain[n++] = *wanted;
	}
	plain[n] = '\0';
	if (X509_digest(cert, EVP_sha256(), digest, &size) != 1)
		return false;
	ap_buf_init(&hex, 256);
	ap_hex_encode(ap_slice((const char *)digest, size), &hex);
	same = ap_slice_eq_nocase(ap_buf_slice(&hex), ap_slice_of(plain));
	ap_buf_done(&hex);
	return same;
}

static int
write_pem(X509 *cert, struct ap_buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;
	long size;
	int rc = PEM_write_bio_X509(bio, cert) == 1 ? 0 : -1;

	size = BIO_get_mem_data(bio, &bytes);
	if (rc == 0 && size > 0)
		ap_buf_add(out, bytes, (size_t)size);
	BIO_free(bio);
	return rc;
}

/* The certificate of the server's chain that bears the fingerprint. */
static int
fetch_root(const struct join *j, struct ap_buf *out, struct ap_error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *bio = BIO_new_ssl_connect(ctx);
	SSL *ssl = NULL;
	STACK_OF(X509) *chain;
	static const unsigned char h2[] = { 2, 'h', '2' };
	int rc = -1;

	BIO_get_ssl(bio, &ssl);
	BIO_set_conn_hostname(bio, j->server);
	SSL_set_alpn_protos(ssl, h2, sizeof(h2));
	if (BIO_do_connect(bio) != 1 || BIO_do_handshake(bio) != 1) {
		char text[200] = "no connection";

		if (ERR_peek_error() != 0)
			ERR_error_string_n(ERR_get_error(), text, sizeof(text));
		ap_error_set(err, -EIO, "%s cannot be reached: %s.", j->server, text);
	} else {
		chain = SSL_get_peer_cert_chain(ssl);
		for (int i = 0; i < sk_X509_num(chain) && rc != 0; i++) {
			if (is_fingerprint(sk_X509_value(chain, i), j->fingerprint))
				rc = write_pem(sk_X509_value(chain, i), out);
		}
		if (rc != 0)
			ap_error_set(err, -EPERM,
			    "%s shows no certificate of this fingerprint; it is not the control plane that you mean, or its root has changed.",
			    j->server);
	}
	BIO_free_all(bio);
	SSL_CTX_free(ctx);
	return rc;
}

static int
write_config(const struct join *j, const char *path, struct ap_error *err)
{
	struct ap_buf text;
	int rc;

	ap_buf_init(&text, 65536);
	ap_buf_printf(&text,
	    "# Written by ambit join. Add a workload for each program of this host; ambit run --check tells what is wrong.\n"
	    "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata:\n  name: %s\nspec:\n  roles: [ztunnel]\n  controlPlane:\n"
	    "    address: \"%s\"\n    caFile: %s/root.pem\n    tokenFile: %s/token\n",
	    j->name, j->server, j->folder, j->folder);
	if (j->state_dir != NULL)
		ap_buf_printf(&text, "  stateDir: %s\n", j->state_dir);
	ap_buf_add_text(&text, "  workloads: []\n  #- name: reviews\n  #  namespace: bookinfo\n  #  serviceAccount: bookinfo-reviews\n"
			       "  #  select: {systemdUnit: reviews.service}\n  #  ports: [{name: http, port: 9080}]\n");
	rc = ap_file_write(path, ap_buf_slice(&text), 0644, err);
	ap_buf_done(&text);
	return rc;
}

static int
write_files(const struct join *j, struct ap_slice root, struct ap_slice token, struct ap_error *err)
{
	char path[600];
	int rc;

	rc = ap_dir_make(j->folder, 0755, err);
	snprintf(path, sizeof(path), "%s/root.pem", j->folder);
	if (rc == 0)
		rc = ap_file_write(path, root, 0644, err);
	snprintf(path, sizeof(path), "%s/token", j->folder);
	if (rc == 0)
		rc = ap_file_write(path, token, 0600, err);
	snprintf(path, sizeof(path), "%s/ambit.yaml", j->folder);
	if (rc == 0 && access(path, F_OK) == 0 && !j->force)
		rc = ap_error_set(err, -EEXIST, "%s exists and was left alone; root.pem and token beside it are new (--force replaces it).", path);
	return rc == 0 ? write_config(j, path, err) : rc;
}

static int
join(const struct join *j)
{
	struct ap_error err = { 0 };
	struct ap_buf token, root;
	int rc;

	ap_buf_init(&token, TOKEN_CEILING);
	ap_buf_init(&root, PEM_CEILING);
	rc = read_token(j, &token, &err);
	if (rc == 0)
		rc = j->ca_file != NULL ? ap_file_read(j->ca_file, &root, &err) : fetch_root(j, &root, &err);
	if (rc == 0)
		rc = write_files(j, ap_buf_slice(&root), ap_buf_slice(&token), &err);
	if (rc != 0)
		ap_cli_fail(&ap_command_join, "%s", err.text);
	else
		printf("%s is set up in %s. Name its programs in ambit.yaml, then start the ztunnel:\n  systemctl enable --now ambit-ztunnel\n",
		    j->name, j->folder);
	ap_wipe(token.ptr, token.len);
	ap_buf_done(&token);
	ap_buf_done(&root);
	return rc == 0 ? 0 : 1;
}

static int
run_join(int argc, char **argv)
{
	struct join j = { .token_file = "-", .folder = AP_SYSCONFDIR "/ambit" };
	struct {
		const char *name, **into;
	} options[] = { { "--server", &j.server }, { "--token-file", &j.token_file }, { "--ca-file", &j.ca_file },
		{ "--ca-fingerprint", &j.fingerprint }, { "--name", &j.name }, { "--folder", &j.folder },
		{ "--state-dir", &j.state_dir } };

	for (int i = 1; i < argc; i++) {
		size_t k = 0;

		while (k < AP_COUNTOF(options) && strcmp(argv[i], options[k].name) != 0)
			k++;
		if (strcmp(argv[i], "--force") == 0)
			j.force = true;
		else if (k < AP_COUNTOF(options) && i + 1 < argc)
			*options[k].into = argv[++i];
		else
			return ap_cli_fail(&ap_command_join, "'%s' is not understood, or lacks its value; see 'ambit join --help'.", argv[i]);
	}
	if (j.server == NULL || strchr(j.server, ':') == NULL)
		return ap_cli_fail(&ap_command_join, "name the control plane: --server HOST:15012.");
	if ((j.ca_file == NULL) == (j.fingerprint == NULL))
		return ap_cli_fail(&ap_command_join, "give the mesh's root: --ca-file FILE, or its --ca-fingerprint.");
	if (j.name == NULL) {
		if (gethostname(j.own_name, sizeof(j.own_name) - 1) != 0)
			return ap_cli_fail(&ap_command_join, "this host has no name; give --name.");
		j.name = j.own_name;
	}
	if (!ap_text_is_dns_name(ap_slice_of(j.name)))
		return ap_cli_fail(&ap_command_join, "'%s' cannot be a host's name in the mesh; give --name in lower-case letters, digits, '-' and '.'.",
		    j.name);
	return join(&j);
}

static const char *const words[] = { "--server", "--token-file", "--ca-file", "--ca-fingerprint", "--name", "--folder", "--state-dir",
	"--force", NULL };

const struct ap_command ap_command_join = {
	.name = "join",
	.group = "Mesh",
	.usage = "--server HOST:15012 (--ca-fingerprint SHA256 | --ca-file FILE) [--token-file FILE] [--name NAME]",
	.summary = "Make this host a member of a mesh",
	.help = "  --server HOST:PORT       the control plane\n"
		"  --ca-fingerprint SHA256  of the mesh's root certificate, in hex; the root is fetched and must match\n"
		"  --ca-file FILE           the root itself, when it is here already\n"
		"  --token-file FILE        the join token; standard input by default\n"
		"  --name NAME              this host's name in the mesh; its host name by default\n"
		"  --folder DIR             where ambit.yaml, root.pem and token go; " AP_SYSCONFDIR "/ambit by default\n"
		"  --state-dir DIR          where its certificates will be kept\n"
		"  --force                  replace an ambit.yaml that is there\n\n"
		"Exit codes: 0; 1 not joined; 2 wrong usage.\n",
	.words = words,
	.run = run_join,
};
