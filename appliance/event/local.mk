# event -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/event/jobs.h \
	appliance/event/loop.h \
	appliance/event/mailbox.h \
	appliance/event/signals.h \
	appliance/event/worker.h
