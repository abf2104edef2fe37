/* checks.h -- checks of single values that rows name: names, hosts, ports, addresses, regular expressions, header names. */
#ifndef MODEL_CHECKS_H
#define MODEL_CHECKS_H
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"
#include "codec/doc.h"

/* Add one problem of a value; for checks that schema rows name. */
#define ap_complain(errs_, node_, fmt_, ...) ap_errors_add((errs_), -EINVAL, (node_)->at, fmt_, ##__VA_ARGS__)

AP_PUBLIC_BEGIN
bool ap_check_is_hostname(struct ap_slice s);     /* DNS name of labels, also in upper case, with '_' as Istio allows */
bool ap_check_is_wild_hostname(struct ap_slice s); /* "*", "*.x.y", "*-a.x", or a name */
bool ap_check_is_header_name(struct ap_slice s);  /* RFC 9110 token */
/* NULL, or why the expression cannot be used (codec/regex.h). */
const char *ap_check_regex(struct ap_slice s, char *out, size_t size);

/* For rows. Each wants a string unless said otherwise. */
void ap_check_port(const struct ap_doc *v, struct ap_errors *errs); /* integer 1..65535 */
void ap_check_port0(const struct ap_doc *v, struct ap_errors *errs); /* integer 0..65535 */
void ap_check_ports(const struct ap_doc *v, struct ap_errors *errs); /* list of integers 1..65535 */
void ap_check_dns_label(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_dns_name(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_host(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_ip(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_ip_list(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_cidr_list(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_header_name(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_header_names(const struct ap_doc *v, struct ap_errors *errs); /* list of strings */
void ap_check_header_map(const struct ap_doc *v, struct ap_errors *errs);   /* map: header names as keys */
void ap_check_regex_value(const struct ap_doc *v, struct ap_errors *errs);
void ap_check_labels(const struct ap_doc *v, struct ap_errors *errs);       /* map of strings: Kubernetes label syntax */
void ap_check_non_empty_items(const struct ap_doc *v, struct ap_errors *errs); /* list of strings */
void ap_check_positive_duration(const struct ap_doc *v, struct ap_errors *errs); /* at least 1 ms */
void ap_check_gep_duration(const struct ap_doc *v, struct ap_errors *errs); /* Gateway API: GEP-2257 */
void ap_check_time(const struct ap_doc *v, struct ap_errors *errs); /* RFC 3339 */
/* "2026-11-24T05:45:38Z" in Unix ms; false when it is none. */
bool ap_check_parse_time(struct ap_slice s, int64_t *out_ms);

/* Of the keys (NULL-terminated), exactly or at most one may be there. Adds a problem at the node. */
void ap_check_one_of(const struct ap_doc *node, const char *const *keys, struct ap_errors *errs);
void ap_check_at_most_one(const struct ap_doc *node, const char *const *keys, struct ap_errors *errs);
bool ap_check_has(const struct ap_doc *node, const char *key); /* present and not null */
AP_PUBLIC_END

#endif
