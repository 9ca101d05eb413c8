"""What `summary` is made of: columns of numbers, their statistics, and the texts."""
