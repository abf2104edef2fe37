/* cp_status.h -- writes back what the compiler and the proxies say of objects: conditions, route parents, given addresses. */
#ifndef CONTROL_PLANE_CP_STATUS_H
#define CONTROL_PLANE_CP_STATUS_H
struct cp;
struct cp_compiled;
struct cp_vips;

/* One batch; objects whose status would be the same are left alone. */
void cp_status_write(struct cp *cp, const struct cp_compiled *c, const struct cp_vips *vips);
/* What proxies refused, by policy, as long as what they refused is what is sent. */
struct cp_refusals;
struct cp_refusals *cp_refusals_new(void);
void cp_refusals_free(struct cp_refusals **r);
/* A proxy refused resources of a set ("<name>: <reason>; ..."). */
void cp_refusals_add(struct cp_refusals *r, const struct cp_compiled *c, const char *type_url, const char *node, const char *text);
/* Add to the notes of a run what still holds of them. */
void cp_refusals_note(struct cp_refusals *r, struct cp_compiled *c, const struct cp *cp);

#endif
