"""The pure core: picture bytes in, frozen values out.

Nothing here logs, awaits or talks to the network. Start at ``pipeline``, which joins the stages:

- ``pictures``: bytes become upright pixels, with every limit checked first;
- ``detection``: pixels become faces, whichever way up they are;
- ``embedding``: a face becomes an aligned crop, and the crop an embedding;
- ``quality``: scores of one face;
- ``graphs``: published ONNX files become fast ones, kept in a cache folder.

``picture_search`` finds the faces of a file, a large JPEG at reduced size first.
``manifest.toml`` lists the pinned models, ``weights`` finds their files, ``loading`` makes them
work, and only ``session`` talks to onnxruntime. ``simulated`` makes scores without any model.
"""
