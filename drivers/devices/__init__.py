"""One file per kind of hardware. The file name is the kind; adding a device is adding a file."""
