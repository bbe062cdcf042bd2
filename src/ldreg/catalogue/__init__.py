"""What can be chosen for a run: regularisers, methods, backbones and data sets, one block each.

A block declares everything that the rest of the project must know of one choice: the key that a user writes
    in YAML, the label that tables show, the settings that it needs, and where its code is. Blocks are plain
    values. They import neither torch nor pandas nor pydantic, so that `ldreg plan` and a dry run stay fast;
    the code that a block names is imported when it is first needed.

To add a choice, write its block and name it in the tuple at the end of its module; see CONTRIBUTING.md.
"""
