"""What the container engines do in their own way, one table or module each."""
