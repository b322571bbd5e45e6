"""The reader's own page: the passenger's screen and the driver's, on this machine alone."""
