# lua -- what scripts may do (README.md) and examples, installed with the data.
luaexamplesdir = $(pkgdatadir)/lua/examples
dist_luaexamples_DATA = \
	lua/examples/deny-by-header.lua \
	lua/examples/lab-header.lua \
	lua/examples/namespace-guard.lua
luadocdir = $(pkgdatadir)/lua
dist_luadoc_DATA = lua/README.md
