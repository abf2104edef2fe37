# control_plane -- sources of this role.
EXTRA_DIST += modules/control_plane/cp.h
