"""Many hostile peers at once; a few of them in `make test`, thousands in `make soak`."""
