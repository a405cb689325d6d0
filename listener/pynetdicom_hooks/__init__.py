"""Pynetdicom hooks."""
