# waypoint_manager -- sources of this role.
