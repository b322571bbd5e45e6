"""The hardware: boards, harnesses and power budgets as data, and its virtual twin `hw.sim`."""
