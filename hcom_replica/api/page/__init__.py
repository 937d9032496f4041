"""The HTML page of a history: one file that needs no network, with a timeline to look at and everything to be read.

`build` makes it in Python; what runs in the browser is beside it (shell.html, style.css, *.js) and ends up in it.
"""
