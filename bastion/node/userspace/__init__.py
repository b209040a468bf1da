"""Services without netfilter: sockets on their addresses, and a relay behind each."""
