"""What works on this repository from outside the program: setting a machine up, and showing the program at work."""
