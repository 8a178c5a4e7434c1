"""What the scripts and notebooks share: one file a room, in the order data flows (see README.md)."""
