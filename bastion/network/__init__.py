"""The wire: which address may be dialled, connections to backends, one round trip."""
