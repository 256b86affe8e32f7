"""The command line: parse, call the library, render. Nothing heavy is imported up here."""
