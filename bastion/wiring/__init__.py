"""Settings in, every object out: the only room that knows all constructors."""
