"""The virtual hardware: cards, antenna, head and the town that holds the cards over it.

It stands where hardware and people stand, so it meets the product through sockets, commands and
files only and imports nothing of ours but `wire`.
"""
