# Unit tests of xds.
