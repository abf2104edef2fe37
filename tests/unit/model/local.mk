# Unit tests of model.
