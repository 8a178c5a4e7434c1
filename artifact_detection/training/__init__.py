"""From class folders to a scored run folder: settings, images, sampling, the trainer."""
