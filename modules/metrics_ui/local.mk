# metrics_ui -- sources of this role.
