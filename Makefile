generate:
	.venv/bin/python scripts/generate.py
.PHONY: generate
