"""A shared lake: the calls of a store over Delta tables in a folder or in object storage, for many machines at once."""
