"""What is installed, what is broken, and the commands that mend it; standard library only."""
