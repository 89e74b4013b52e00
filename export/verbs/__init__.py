"""Command-line verbs that export adds; they are imported when the command line starts, and import no torch."""
