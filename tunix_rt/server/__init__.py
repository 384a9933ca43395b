"""The HTTP API: an extension of Jupyter Server, for programs that are not notebooks; `tunix-rt/api` below the server.

Jupyter finds it by `_jupyter_server_extension_points` of the package; nothing else imports this room.
"""
