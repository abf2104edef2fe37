# ztunnel -- sources of this role.
