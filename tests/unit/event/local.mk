# Unit tests of event.
