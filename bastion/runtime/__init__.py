"""What any package may use: caches, deadlines, limits, turns, files that change, certificates, errors."""
