"""What `kubectl proxy` does: the API server of a kubeconfig on a port of this machine, for this user
alone.
"""
