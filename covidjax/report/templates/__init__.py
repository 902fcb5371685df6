"""The sentences of the draft report, in Markdown and Jinja2."""
