"""What each command does, behind the command line. Imported only when the command runs."""
