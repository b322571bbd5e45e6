"""The pages of the fleet: the operators' console and the clerks' office, two processes apart.

Rendered on the server, in Japanese and English from one catalogue; htmx and server-sent events
keep what is shown current, and every task works without a script. No page loads anything from
elsewhere.
"""
