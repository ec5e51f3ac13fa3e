"""What the end-to-end tests share: a server to run, a wire to talk over, a crowd, the record."""
