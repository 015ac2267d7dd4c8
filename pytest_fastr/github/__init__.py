"""What GitHub is told of a result: job summary, annotations, check run, comment. And the logic of `action.yml`.

`publish.py` says all of it, as far as the token goes (`context.py` knows where it runs, `client.py` how to ask,
`patience.py` how long). `decision.py` alone decides about the exit code, and asks nobody.
"""
