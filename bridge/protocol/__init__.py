"""MEANING: what bytes and values say. No trio, socket, file, clock, randomness or logging in here."""
