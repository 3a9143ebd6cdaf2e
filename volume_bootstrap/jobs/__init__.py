"""Work in the background: commands that outlive the terminal they were started in."""
