"""What `records` is made of: one line, one file to write to, one file to read."""
