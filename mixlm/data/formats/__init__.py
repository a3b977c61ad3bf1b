"""What files hold, as Python has it: YAML that people write, tables of Arrow."""
