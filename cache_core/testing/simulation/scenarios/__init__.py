"""What is explored: scenarios by subject, and for each rule of the protocol one without it."""
