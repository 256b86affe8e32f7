"""Hostile and odd studies, built in code: a family is a function that yields its cases, the same each time."""
