"""What can be injected, by what it interferes with: found by being here."""
