# Unit tests of role.
