"""What finished trials hold, and what is done with them later: read, rescore, confirm, copy."""
