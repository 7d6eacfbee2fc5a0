"""Commands to sibling services, written with the state change that causes them, sent later."""
