"""What ``runyard doctor`` examines."""
