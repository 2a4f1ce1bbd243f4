"""Run records, tables, plots, the report page, and the command line's steps on files."""
