"""Steps of the database of persons."""
