/* ui_assets.h -- the files of the web page, embedded when the role is built (web/embed.py). */
#ifndef UI_ASSETS_H
#define UI_ASSETS_H
#include <stddef.h>

struct ui_asset {
	const char *path; /* "/assets/app.js"; NULL ends the list */
	const char *type;
	const char *etag; /* with its quotes */
	const char *bytes;
	size_t size;
};

extern const struct ui_asset ui_assets[];

#endif
