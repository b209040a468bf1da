"""Is it up?  Probes of pods, services and nodes along the users' own path, in blackbox_exporter's words."""
