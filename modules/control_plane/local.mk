# control_plane -- sources of this role.
