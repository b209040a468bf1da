"""How everything is, for who is signed in and for the public."""
