"""The page of one service, pod or node."""
