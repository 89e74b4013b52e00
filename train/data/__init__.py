"""Photographs and what is made of them: views, batches, attacked queries, validation pairs, features of a frozen trunk."""
