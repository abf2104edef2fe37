# event -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/event/jobs.c appliance/event/jobs.h \
	appliance/event/loop.c appliance/event/loop.h \
	appliance/event/mailbox.c appliance/event/mailbox.h \
	appliance/event/signals.c appliance/event/signals.h \
	appliance/event/worker.c appliance/event/worker.h
