"""What tokens say about themselves (JWT)."""
