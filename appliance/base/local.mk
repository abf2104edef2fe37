# base -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/base/addr.h \
	appliance/base/arena.h \
	appliance/base/b64.h \
	appliance/base/buf.h \
	appliance/base/check.h \
	appliance/base/clock.h \
	appliance/base/compiler.h \
	appliance/base/error.h \
	appliance/base/file.h \
	appliance/base/hash.h \
	appliance/base/list.h \
	appliance/base/log.h \
	appliance/base/map.h \
	appliance/base/mem.h \
	appliance/base/metrics.h \
	appliance/base/rand.h \
	appliance/base/refs.h \
	appliance/base/slice.h \
	appliance/base/text.h \
	appliance/base/vec.h
