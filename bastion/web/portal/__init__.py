"""The portal: everything that the user who is signed in may open."""
