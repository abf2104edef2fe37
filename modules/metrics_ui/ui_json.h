/* ui_json.h -- the page's answers as JSON text (web/src/types.ts has their types). Pure. */
#ifndef UI_JSON_H
#define UI_JSON_H
#include "base/buf.h"
#include "metrics_ui/ui_graph.h"


/* "traffic" object. secure of known: weights of mutual TLS; known 0: not known. */
void ui_json_traffic(struct ap_buf *out, const struct ui_measure *m, double seconds, uint64_t secure, uint64_t known);
void ui_json_node(struct ap_buf *out, const struct ui_node *n, const struct ui_names *names, struct ap_slice waypoint,
    double seconds);
/* The members of an edge, without its braces. */
void ui_json_edge(struct ap_buf *out, const struct ui_edge *e, double seconds);
void ui_json_hops(struct ap_buf *out, const struct ui_edge *e, double seconds);
/* "\"name\":" and a text, a comma before it when `comma`. */
void ui_json_text(struct ap_buf *out, const char *name, struct ap_slice value);
void ui_json_error(struct ap_buf *out, const char *text);

#endif
