"""A small web shop: the service of the demo, with mistakes that can be switched on."""
