"""The networks of a model in the form that Core ML needs, one file for each kind."""
