"""One module a part of ./dev bench. Each has SUMMARY (its line in the help), steps(settings)
(what it will do: [(text, seconds)], for the estimate) and measure(run) (does it, a
run.progress.step() for each of those steps in the same order)."""
