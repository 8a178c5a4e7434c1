"""What the scripts and notebooks share: rooms on floors, drawn in README.md."""
