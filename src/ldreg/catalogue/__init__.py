"""Declarations of everything that a run can choose: regularisers, methods, backbones, data sets and so on.

Each choice is one block. It declares everything that the rest of the project must know about the choice: the
key that a user writes in YAML, the label that tables show, the settings that it needs, and where its code is.
Blocks are plain values. They import neither torch nor pandas nor pydantic, so `ldreg plan` and dry runs stay
fast. The code that a block names is imported when it is first needed.

To add a choice, write its block in the tuple at the end of its module; see CONTRIBUTING.md.
"""
