"""The command line: a thin skin over the library.

How a command is added:

1. ``commands/<name>.py`` holds one function of the command's name (dashes as underscores). Its
   parameters are the aliases of options.py, its docstring is the help text. It builds a
   configuration, calls one library function and hands what that returns to the sink of output.py.
2. app.py gets one line in the table of commands.

All command modules are imported to show ``--help``, so their module level imports nothing but
typing and options.py; the library is imported inside the function, where it is used. Errors are
raised, never caught here: `axion_stage3.cli.guard` turns each into one message and an exit code.
"""
