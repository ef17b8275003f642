"""What is installed here and what works. Runs where all else is broken: imports nothing of it."""
