"""The programs that are compared: how each is configured to serve the same paths in front of the same
backends.
"""
