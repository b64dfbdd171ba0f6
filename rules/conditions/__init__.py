"""One file per kind of condition. The file name is the kind; adding one is adding a file."""
