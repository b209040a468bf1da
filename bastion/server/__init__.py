"""The side towards clients: reading requests strictly, writing answers, starting and stopping."""
