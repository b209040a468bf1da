"""· Pages of HTML, edited as they pass."""
