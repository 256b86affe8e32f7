"""What every command prints with --json, as typed, closed and versioned models: `--json-schema` prints their schema.

A field may be added within a version; none is renamed, removed or given another meaning without a new one.
"""
