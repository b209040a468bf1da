"""How a browser comes to be known: sessions, hand-off between hosts, what another site may not ask for."""
