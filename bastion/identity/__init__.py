"""Tokens that say whose they are."""
