"""DendroMap: a zoomable map of the tree of rows."""
