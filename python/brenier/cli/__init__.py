"""The command line: every option is one keyword of the library."""
