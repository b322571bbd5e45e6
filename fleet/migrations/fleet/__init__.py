"""Steps of the database without persons."""
