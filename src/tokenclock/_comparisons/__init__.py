"""What `compare` is made of: the test by ranks, what it came to, and the texts."""
