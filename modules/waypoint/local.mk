# waypoint -- sources of this role.
