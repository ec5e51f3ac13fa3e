"""The text of /metrics: read, checked by promtool, and turned into numbers."""

import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SAMPLE = re.compile(r'([a-z_]+)(?:\{([^}]*)\})? ([0-9.e+-]+)\Z')
LABEL = re.compile(r'([a-z_]+)="([^"\\]*)"')
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def promtool():
    """Its path; skips the test when there is none (./dev test fetches it)."""
    path = shutil.which("promtool") or os.path.join(ROOT, "build", "tools", "promtool")
    if not os.access(path, os.X_OK):
        pytest.skip("no promtool: ./dev test unpacks it from Debian's prometheus")
    return path


def run_promtool(*arguments, given=None, cwd=ROOT):
    """Its output; fails the test when it complains."""
    done = subprocess.run([promtool(), *arguments], input=given, capture_output=True, cwd=cwd,
                          timeout=60)
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output


class Scrape:
    """One answer: samples by name and labels, types by name."""

    def __init__(self, body):
        self.body = body
        self.types = {}
        self.samples = {}
        for line in body.decode("ascii").splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                assert name not in self.types
                self.types[name] = kind
            elif not line.startswith("# HELP "):
                name, labels, value = SAMPLE.match(line).groups()
                key = name, frozenset(LABEL.findall(labels or ""))
                assert key not in self.samples, line
                self.samples[key] = float(value)

    def value(self, sample, **labels):
        return self.samples[sample, frozenset(labels.items())]

    def by(self, sample, label):
        """{value of the label: number} of a sample with this one label."""
        found = {}
        for (name, labels), value in self.samples.items():
            if name == sample:
                ((key, text),) = labels
                assert key == label
                found[text] = value
        return found

    def assert_histogram(self, name, **labels):
        """Rises by bucket, ends in its count. Returns the count."""
        buckets = []
        for (sample, found), value in self.samples.items():
            if sample == name + "_bucket" and labels.items() <= dict(found).items():
                buckets.append((float(dict(found)["le"]), value))
        counts = [count for _, count in sorted(buckets)]
        assert len(counts) > 10 and counts == sorted(counts), (name, counts)
        assert sorted(buckets)[-1][0] == float("inf")
        assert counts[-1] == self.value(name + "_count", **labels)
        assert (self.value(name + "_sum", **labels) > 0) == (counts[-1] > 0)
        return counts[-1]


def scrape(client):
    """GET /metrics without a credential."""
    response = client.get("/metrics")
    assert response.status == 200, response
    assert response.field("Content-Type") == CONTENT_TYPE
    return Scrape(response.body)
