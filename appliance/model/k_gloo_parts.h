/* k_gloo_parts.h -- rows that the Gloo kinds share. */
#ifndef MODEL_K_GLOO_PARTS_H
#define MODEL_K_GLOO_PARTS_H
#include "base/error.h"
#include "model/rows.h"

/* labels, name, namespace, cluster, workspace; `{}` selects everything of the workspace. */
extern const struct ap_schema ap_gloo_object_selector;
extern const struct ap_schema ap_gloo_object_ref; /* name, namespace, cluster */
/* A name where '*' stands for any text. */
void ap_gloo_check_glob(const struct ap_doc *v, struct ap_errors *errs);

#endif
