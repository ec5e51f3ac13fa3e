"""What src/http costs alone, told."""

from suite.tell import http


def tables(lines):
    return http.tables(lines, "src/http with a constant reply beside nginx")


def thresholds(_):
    return []


def scripts(_):
    return {}
