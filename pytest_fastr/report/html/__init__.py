"""The HTML report of `--perf-report`: one file that needs no network and no JavaScript.

* `page`: the whole document. `overview`, `section`, `metrics`, `loads`, `environment`: its parts.
* `percentiles`, `over_time`, `history`, `interval`: the plots, as inline SVG. `axes`, `drawing`: what they share.
* `markup`: elements with everything escaped. `words`: fine typography. `style.css`: all of the looks.
"""
