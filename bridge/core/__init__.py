"""DECISIONS: trio tasks and channels. No socket, file or SQL in here; what touches the world is passed in."""
