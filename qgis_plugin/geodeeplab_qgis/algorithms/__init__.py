"""The algorithms of the provider, one file each; each is a command of `geodeeplab`."""
