"""The messages on the wire: one record per file, whose docstring is the contract.

Start at ``codec``, which turns bytes into records and back. ``image_submitted``, ``scored_face``,
``shadow_scored`` and ``fallback`` are the topics, ``http_api`` the bodies of the HTTP API. This
package imports no other package of the project.
"""
