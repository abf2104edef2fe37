/* k_ambit.h -- what Ambit's own kinds share. */
#ifndef MODEL_K_AMBIT_H
#define MODEL_K_AMBIT_H
#include "base/error.h"
#include "codec/doc.h"

void ap_check_identities(const struct ap_doc *list, struct ap_errors *errs);

#endif
