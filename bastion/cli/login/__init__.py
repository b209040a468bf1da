"""`bastion login`: how a terminal signs in at an OpenID Connect issuer."""
