/* cp_status.h -- writes back what the compiler and the proxies say of objects: conditions, route parents, given addresses. */
#ifndef CONTROL_PLANE_CP_STATUS_H
#define CONTROL_PLANE_CP_STATUS_H
struct cp;
struct cp_compiled;
struct cp_vips;

/* One batch; objects whose status would be the same are left alone. */
void cp_status_write(struct cp *cp, const struct cp_compiled *c, const struct cp_vips *vips);
/* A proxy refused resources ("<name>: <reason>; ..."): say it on the objects that they came from, where that can be told. */
void cp_status_refused(struct cp *cp, const char *type_url, const char *node, const char *text);

#endif
