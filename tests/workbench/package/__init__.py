"""The package and the notebooks that analysts find in the workbench, without the workbench around them."""
