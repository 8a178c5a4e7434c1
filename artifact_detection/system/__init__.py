"""Knows no image: files, transfers, paths, tables, threads, processes, interruption, memory."""
