# Unit tests of modules.
