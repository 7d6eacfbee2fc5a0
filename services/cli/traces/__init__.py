"""Spans: from OTLP over HTTP to a bounded file, and from there to a tree."""
