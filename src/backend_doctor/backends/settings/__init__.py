"""The application's own settings: its file and its environment, read offline."""
