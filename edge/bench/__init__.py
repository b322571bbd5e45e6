"""For people at a bench: what a card is, how fast it is, and what is wrong with a reader.

Nothing here shows an identifier: a card is told from another by a mark that is drawn anew at each
start. What is sent to cards is what the agent sends, by the same schemes and the same list.
"""
