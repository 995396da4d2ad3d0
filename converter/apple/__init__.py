"""The modules of Apple's Python package that convert, as commands of ``sdrt apple``: their flags as they are typed, over this converter.

Source of the flags: apple/ml-stable-diffusion at e12202c.
"""
