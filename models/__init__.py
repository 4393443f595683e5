"""The pure core: picture bytes in, frozen values out.

Nothing here logs, awaits or talks to the network. Start at `pipeline.py`; each stage has its own
module: `decoding`, `detection` (and `yunet`), `alignment`, `embedding`, `quality`.
"""
