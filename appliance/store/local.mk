# store -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES +=
