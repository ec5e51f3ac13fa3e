"""The measuring suite of ./dev bench: helpers here, one module a part in parts/."""
