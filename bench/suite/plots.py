"""What the scripts of the pictures share."""

from suite.figures import told

TERMINAL = "set terminal svg size {width},{height} font 'sans-serif,13' background '#ffffff'\n"
STYLE = """\
set style fill solid 0.9 noborder
set border 3 linecolor '#666666'
set tics nomirror
set grid ytics linecolor '#dddddd'
"""


def value_min_max(line):
    return f"{told(line)} {line['min']} {line['max']}"
