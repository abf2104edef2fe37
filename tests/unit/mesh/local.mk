# Unit tests of mesh.
