"""How the databases came to their present form; every released step stays."""
