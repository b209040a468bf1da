"""What may a user open?  Asked with few reviews, remembered for a minute."""
