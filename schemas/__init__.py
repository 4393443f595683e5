"""What is said on the wire: one record a file, whose docstring is the contract.

`codec` turns bytes into records and back. This room knows no other room of the project.
"""
