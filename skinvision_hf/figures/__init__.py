"""Every picture, from arrays and reports; the only room that imports matplotlib."""
