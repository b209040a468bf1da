"""HTTP/2, for clients' connections and for those to backends."""
