"""The command line: parse, call pdstore, print. No science here."""
