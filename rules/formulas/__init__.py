"""Published formulas, one subject a file; each file names its source, its range and its error."""
