"""What exists, as the Kubernetes API says."""
