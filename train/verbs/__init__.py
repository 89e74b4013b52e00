"""Verbs that training adds to the command ``copytrace``; the engine finds them as entry points and never imports them."""
