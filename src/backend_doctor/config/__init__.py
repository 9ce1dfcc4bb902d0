"""Service configuration: from a file, from the bare environment, from URLs given by hand."""
