"""The Services of one address family as maps of one nftables table."""
