"""`bastion tunnel`: local ports, a SOCKS5 proxy or standard input that lead through a bastion."""
