"""The network: its checkpoints, the device it runs on, scoring, heat maps, regions."""
