"""Thin commands: parse, call one function of `crossgrade.api`, hand the value to a renderer."""
