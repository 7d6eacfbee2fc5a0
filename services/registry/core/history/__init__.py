"""The versions that are kept: listed, compared, audited, restored and retired."""
