"""What the bastion says about itself over HTTP."""
