/*
 * validate.h -- checks across resources: what the API refuses at apply, because two objects cannot both be right.
 *
 * A reference to something that is not there is no such case: the order in which people apply their files must not matter, so
 * a dangling reference is told in the object's status, as in Kubernetes.
 */
#ifndef MODEL_VALIDATE_H
#define MODEL_VALIDATE_H
#include "base/compiler.h"
#include "base/error.h"
#include "codec/doc.h"
#include "model/resource.h"

AP_PUBLIC_BEGIN
/* Against the set as it is; the object may stand in it in an older form. Adds to errs; returns the number of problems. */
size_t ap_validate(
    const struct ap_resource_set *set, const struct ap_kind *kind, const struct ap_doc *object, struct ap_errors *errs);
AP_PUBLIC_END

#endif
